-- name: aws_s3_usable
-- May the role of this transaction export through aws_s3? Null when the function is not there.
select case when to_regprocedure(signature.name) is not null
    then has_schema_privilege('aws_s3', 'usage') and has_function_privilege(to_regprocedure(signature.name), 'execute') end as usable
from (values ('aws_s3.query_export_to_s3(text, text, text, text, text, text)'),
    ('aws_s3.query_export_to_s3(text, text, text, text, text)')) as signature (name)
order by to_regprocedure(signature.name) is null
limit 1
