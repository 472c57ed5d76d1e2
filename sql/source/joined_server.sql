-- name: joined_server
-- Whether a backend that has taken over a snapshot is on the server that gave it.
-- $1 timestamptz: that server's start
select pg_catalog.pg_postmaster_start_time() = $1::timestamptz as is_same
