-- name: end_backend
-- End the query of a lost attempt; pid and the start of its transaction name one export's work, never a stranger's, nor what the same connection
-- serves by now. Run on the source. Null: this login may not see whose backend has that pid, so it may not end it either.
-- $1 int: pid
-- $2 timestamptz: start of its transaction
select case when pg_stat_activity.backend_start is not null and pg_stat_activity.state <> 'disabled'
    then pg_terminate_backend(pg_stat_activity.pid) end as ended
from pg_catalog.pg_stat_activity
where pg_stat_activity.pid = $1::int
    -- Without track_activities nobody can see whose it is either.
    -- guard: transaction start
    and (pg_stat_activity.backend_start is null or pg_stat_activity.state = 'disabled' or pg_stat_activity.xact_start = $2::timestamptz)
