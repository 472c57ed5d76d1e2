-- name: next_due
-- How long a worker may sleep: until the next job, retry, expiry, lease end, probe or schedule. Run before sleeping.
-- Returns milliseconds from now, null when nothing is ahead.
-- $1 boolean: is there a free export slot
-- $2 boolean: is there a free delivery slot
-- $3 bigint: grace past the deadline before reap steps in, ms
-- $4 int: most exports at once over all processes, null for no limit
with
-- Without a place on the source an export is as good as not due: whoever ends one claims the next.
source as materialized (
    select $1::boolean and ($4::int is null or (
        select count(*) from exportbox.job where job.state = 'running' and job.kind = 'export') < $4::int) as has_place
),
-- What a claim would leave alone is nobody's next instant.
lane as materialized (
    select lanes.kind, lanes.is_paused, lanes.is_held, lanes.closed_reports, lanes.closed_sources
    from exportbox.lanes(null) as lanes
),
next_run as (
    select min(ready.run_at) as at
    from lane
    cross join generate_series(0, 9) as level (priority)
    cross join lateral (
        select job.run_at
        from exportbox.job
        where job.state = 'pending' and job.kind = lane.kind and job.priority = level.priority
            and exportbox.is_open(job, lane.closed_reports, lane.closed_sources)
        order by job.run_at, job.id
        limit 1
    ) as ready
    where case lane.kind when 'export' then (select source.has_place from source) else $2::boolean end
        and not lane.is_paused and not lane.is_held
),
next_end as (
    select min(least(job.lease_expires_at, job.deadline_at + $3::bigint * interval '1 millisecond')) as at
    from exportbox.job
    where job.state = 'running'
),
next_expiry as (
    select min(job.not_after) as at
    from exportbox.job
    where job.state = 'pending' and job.started_at is null and job.not_after is not null
),
next_probe as (
    select min(control.probe_at) as at
    from exportbox.control
    where case control.scope when 'export' then (select source.has_place from source) else $2::boolean end
        and not exists (select from lane where lane.kind = control.scope and lane.is_paused)
),
-- -infinity: its next instant is to be reckoned.
next_schedule as (
    select case when min(schedule.next_due_at) is not null then greatest(min(schedule.next_due_at), now()) end as at
    from exportbox.schedule
    where schedule.disabled_at is null and schedule.next_due_at < 'infinity'
)
select (extract(epoch from least(next_run.at, next_end.at, next_expiry.at, next_probe.at, next_schedule.at) - clock_timestamp()) * 1000)::bigint as sleep_ms
from next_run, next_end, next_expiry, next_probe, next_schedule
