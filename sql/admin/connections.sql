-- name: connections
-- How many connections the server, the database and the login allow, and how many are in use. Run at start, on the outbox's server and on the source.
-- No limit is null; -1 is how the catalogues say so, and a superuser is held by the server's alone.
select
    current_setting('max_connections')::bigint - case when login.rolsuper then 0 else
        current_setting('superuser_reserved_connections')::bigint + coalesce(current_setting('reserved_connections', true)::bigint, 0)
    end as server_limit,
    (select sum(pg_stat_database.numbackends) from pg_catalog.pg_stat_database)::bigint as server_used,
    case when place.datconnlimit >= 0 and not login.rolsuper then place.datconnlimit::bigint end as database_limit,
    (select count(*) from pg_catalog.pg_stat_activity where pg_stat_activity.datid = place.oid) as database_used,
    case when login.rolconnlimit >= 0 and not login.rolsuper then login.rolconnlimit::bigint end as role_limit,
    (select count(*) from pg_catalog.pg_stat_activity where pg_stat_activity.usesysid = login.oid) as role_used,
    coalesce(current_setting('exportbox.direct', true) = 'on', false) as is_direct
from pg_catalog.pg_roles as login, pg_catalog.pg_database as place
where login.rolname = session_user and place.datname = current_database()
