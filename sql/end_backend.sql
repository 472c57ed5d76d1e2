-- name: end_backend
-- End the query of a lost attempt; pid and start name one backend, never a stranger's. Run on the source. Null: this login may not see whose backend
-- has that pid, so it may not end it either.
-- $1 int: pid
-- $2 timestamptz: start of that process
select case when pg_stat_activity.backend_start is not null then pg_terminate_backend(pg_stat_activity.pid) end as ended
from pg_catalog.pg_stat_activity
where pg_stat_activity.pid = $1::int
    and coalesce(pg_stat_activity.backend_start, $2::timestamptz) = $2::timestamptz
