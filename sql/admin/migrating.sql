-- name: migrating
-- Is a migration under way? Asked at start when the schema is not what it should be.
-- $1 bigint: the advisory lock that migrations take
select exists (
    select from pg_catalog.pg_locks
    where pg_locks.locktype = 'advisory' and pg_locks.granted
        and pg_locks.database = (select pg_database.oid from pg_catalog.pg_database where pg_database.datname = current_database())
        and (pg_locks.classid::bigint << 32) | pg_locks.objid::bigint = $1::bigint
) as migrating
