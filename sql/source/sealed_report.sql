-- name: sealed_report
-- Columns of a report's sealed function, where the login may have aws_s3 export it. No row: stream it. Checked anew for each export, as
-- the function's owner can alter it: it must still be this text, run with that role's rights, whoever calls it; and so must what checks its types.
-- $1 text name: the function's name
-- $2 text role: the report's role
-- $3 text query: the report's text
-- $4 text check: the body of the function that checks its types
select sealed.proallargtypes as types, sealed.proargnames as names
from pg_catalog.pg_proc as sealed
join pg_catalog.pg_namespace as ours on ours.oid = sealed.pronamespace
join pg_catalog.pg_proc as fits on fits.pronamespace = sealed.pronamespace
join pg_catalog.pg_roles as owner on owner.oid = sealed.proowner
where ours.nspname = 'exportbox'
    and sealed.proname = $1::text
    and sealed.pronargs = 0
    and sealed.prolang = (select pg_language.oid from pg_catalog.pg_language where pg_language.lanname = 'sql')
    and sealed.prosecdef -- guard: rights of its owner
    and owner.rolname = $2::text -- guard: owner
    and sealed.prosrc = $3::text -- guard: text
    and fits.proname = $1::text || '_fits'
    and fits.pronargs = 0
    and fits.prolang = (select pg_language.oid from pg_catalog.pg_language where pg_language.lanname = 'plpgsql')
    and fits.prosecdef
    and fits.proowner = sealed.proowner
    and fits.prosrc = $4::text
    and (fits.proallargtypes, fits.proconfig) = (sealed.proallargtypes, sealed.proconfig)
    and has_schema_privilege(session_user, ours.oid, 'usage')
    and has_function_privilege(session_user, sealed.oid, 'execute')
    and has_function_privilege(session_user, fits.oid, 'execute')
    and exists (
        select
        from pg_catalog.pg_proc as exporter
        join pg_catalog.pg_namespace as theirs on theirs.oid = exporter.pronamespace
        where theirs.nspname = 'aws_s3'
            and exporter.proname = 'query_export_to_s3'
            and (exporter.proargtypes[0], exporter.proargtypes[1], exporter.proargtypes[2]) = ('text'::regtype, 'text'::regtype, 'text'::regtype)
            and has_schema_privilege(session_user, theirs.oid, 'usage')
            and has_function_privilege(session_user, exporter.oid, 'execute') -- guard: may call
    )
