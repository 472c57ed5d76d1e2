-- name: aws_s3_usable
-- May the role of this transaction export through aws_s3, or may the login? No row: the server has no such function. Found by its signature in the catalogue:
-- to_regprocedure fails for whoever may not use the schema.
select has_schema_privilege(pg_namespace.oid, 'usage') and has_function_privilege(pg_proc.oid, 'execute') as usable, -- guard: role
    has_schema_privilege(session_user, pg_namespace.oid, 'usage') and has_function_privilege(session_user, pg_proc.oid, 'execute')
        as usable_by_login,
    coalesce('kms_key' = any (pg_proc.proargnames), false) as takes_key
from pg_catalog.pg_proc
join pg_catalog.pg_namespace on pg_namespace.oid = pg_proc.pronamespace
where pg_namespace.nspname = 'aws_s3'
    and pg_proc.proname = 'query_export_to_s3'
    and (pg_proc.proargtypes[0], pg_proc.proargtypes[1], pg_proc.proargtypes[2]) = ('text'::regtype, 'text'::regtype, 'text'::regtype)
order by takes_key desc
limit 1
