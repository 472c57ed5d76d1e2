-- name: sealed_report
-- The column types of a report's sealed function, where the login may have aws_s3 export it. No row: stream it. Checked anew for each export, as
-- the function's owner can alter it: it must still be this text, run with that role's rights, whoever calls it.
-- $1 text: the function's name
-- $2 text: the report's role
-- $3 text: the report's text
select sealed.proallargtypes as types
from pg_catalog.pg_proc as sealed
join pg_catalog.pg_namespace as ours on ours.oid = sealed.pronamespace
join pg_catalog.pg_language on pg_language.oid = sealed.prolang
where ours.nspname = 'exportbox'
    and sealed.proname = $1::text
    and sealed.pronargs = 0
    and pg_language.lanname = 'sql'
    and sealed.prosecdef
    and sealed.proowner = (select pg_roles.oid from pg_catalog.pg_roles where pg_roles.rolname = $2::text)
    and sealed.prosrc = $3::text
    and has_schema_privilege(session_user, ours.oid, 'usage')
    and has_function_privilege(session_user, sealed.oid, 'execute')
    and exists (
        select
        from pg_catalog.pg_proc as exporter
        join pg_catalog.pg_namespace as theirs on theirs.oid = exporter.pronamespace
        where theirs.nspname = 'aws_s3'
            and exporter.proname = 'query_export_to_s3'
            and (exporter.proargtypes[0], exporter.proargtypes[1], exporter.proargtypes[2]) = ('text'::regtype, 'text'::regtype, 'text'::regtype)
            and has_schema_privilege(session_user, theirs.oid, 'usage')
            and has_function_privilege(session_user, exporter.oid, 'execute'))
