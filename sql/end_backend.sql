-- name: end_backend
-- End the query of a lost attempt; pid and start name one backend, never a stranger's. Run on the source.
-- $1 int: pid
-- $2 timestamptz: start of that process
select pg_terminate_backend(pg_stat_activity.pid) as ended
from pg_catalog.pg_stat_activity
where pg_stat_activity.pid = $1::int and pg_stat_activity.backend_start = $2::timestamptz
