-- name: next_due
-- How long until there is something to do: the next job, retry, expiry, lease end, probe or schedule; and until something is to be cleaned up. The
-- first question of a drain, and all that an idle worker asks: what is due by this is looked for, and where nothing is, nothing would be found.
-- Milliseconds from now, null when nothing is ahead. A worker that is marked as asleep stays so for the coming nap: whatever was requested since
-- its mark was set wakes it.
-- $1 boolean export_slot: is there a free export slot
-- $2 boolean message_slot: is there a free message slot
-- $3 bigint grace: grace past the deadline before reap steps in, ms
-- $4 int source_slots: most exports at once over all processes, null for no limit
-- $5 text worker: worker id
-- $6 bigint nap: its longest nap, ms; null: its mark is left alone
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
),
next_cleaning as (
    select least(
        (
            select min(attempt.sweep_after)
            from exportbox.attempt
            where (attempt.object_key is not null or attempt.backend_pid is not null)
                and attempt.outcome <> 'completed'
                and attempt.sweep_after < 'infinity'
        ),
        (select min(chore.due_at) from exportbox.chore)) as at
),
ahead as materialized (
    select clock_timestamp() as looked_at,
        least(next_run.at, next_end.at, next_expiry.at, next_probe.at, next_schedule.at) as due_at,
        next_cleaning.at as clean_at
    from next_run, next_end, next_expiry, next_probe, next_schedule, next_cleaning
),
nap as (
    select ahead.looked_at, least(ahead.due_at, ahead.looked_at + $6::bigint * interval '1 millisecond') as ends
    from ahead
    where $6::bigint is not null
),
asleep as materialized (
    select worker.id, worker.waiting_until
    from nap
    join exportbox.worker on worker.id = $5::text and worker.waiting_until > nap.looked_at
),
-- Outlasts this nap and the next: what is requested for later than the mark wakes nobody, and has to be committed before the look that comes then.
kept as (
    update exportbox.worker
    set waiting_until = nap.ends + (nap.ends - nap.looked_at) * 2 + interval '1 second', seen_at = now()
    from nap, asleep
    where worker.id = asleep.id and asleep.waiting_until < nap.ends + (nap.ends - nap.looked_at)
)
select
    (extract(epoch from ahead.due_at - ahead.looked_at) * 1000)::bigint as sleep_ms,
    (extract(epoch from ahead.clean_at - ahead.looked_at) * 1000)::bigint as clean_ms,
    exists (select from asleep) as is_marked
from ahead
