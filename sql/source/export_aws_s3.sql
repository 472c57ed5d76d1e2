-- name: export_aws_s3
-- Have the server write the file itself. Arguments by name and typed: two overloads and an older version without kms_key exist.
-- $1 text query: query
-- $2 text bucket: bucket
-- $3 text key: key of the first file
-- $4 text region: region
-- $5 text options: COPY options
select rows_uploaded, files_uploaded, bytes_uploaded
from aws_s3.query_export_to_s3($1::text, $2::text, $3::text, $4::text, options := $5::text)
