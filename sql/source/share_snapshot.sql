-- name: share_snapshot
-- Let other backends see what this transaction sees. Not within a savepoint. The server's start tells theirs from another one's: snapshots of two
-- servers may have the same name.
select pg_catalog.pg_export_snapshot() as snapshot, pg_catalog.pg_postmaster_start_time() as server_start
