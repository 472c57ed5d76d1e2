-- name: export_aws_s3_with_key
-- The same as export_aws_s3 with a key of one's own, which functions before version 1.2 do not take.
-- $1 text query: query
-- $2 text bucket: bucket
-- $3 text key: key of the first file
-- $4 text region: region
-- $5 text options: COPY options
-- $6 text kms_key: KMS key
select rows_uploaded, files_uploaded, bytes_uploaded
from aws_s3.query_export_to_s3($1::text, $2::text, $3::text, $4::text, options := $5::text, kms_key := $6::text)
