-- name: due_schedules
-- Schedules that are due, and those whose next instant nobody has reckoned yet. Run in every thorough look, beside claim.
select
    schedule.name,
    schedule.cron,
    schedule.time_zone,
    schedule.catch_up,
    schedule.catch_up_limit,
    (extract(epoch from schedule.late_after) * 1000)::bigint as late_after_ms,
    nullif(schedule.next_due_at, '-infinity') as next_due_at,
    now() as looked_at
from exportbox.schedule
where schedule.disabled_at is null and schedule.next_due_at <= now()
order by schedule.next_due_at
limit 100
