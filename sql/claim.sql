-- name: claim
-- Take as many due jobs as there are free slots. Run in every cycle after reap and expire; commits before any work starts.
-- $1 int: free export slots
-- $2 int: free delivery slots
-- $3 text: worker id
-- $4 bigint: lease, ms
-- $5 bigint: longest timeout of an export, ms; a request may ask for less
-- $6 bigint: timeout of a delivery, ms
-- $7 smallint: most attempts of an export; a request may ask for less
-- $8 smallint: max_attempts of a delivery
with
-- A kind of job on hold gets one slot whenever its probe is due; taking the probe moves the next one.
probing as (
    update exportbox.control
    set probe_at = now() + least(interval '30 seconds' * power(2, least(control.probes, 4)), interval '5 minutes')
    where control.probe_at <= now()
        and case control.scope when 'export' then $1::int else $2::int end > 0
    returning control.scope
),
room as (
    select lane.kind, case
            when held.scope is null then lane.slots
            when probing.scope is not null then 1
            else 0
        end as slots
    from (values ('export', $1::int), ('delivery', $2::int)) as lane (kind, slots)
    left join exportbox.control as held on held.scope = lane.kind
    left join probing on probing.scope = lane.kind
),
-- Level by level, so that jobs that wait for a later instant are never stepped over: within a level the index is ordered by run_at.
due as materialized (
    select ready.id
    from room
    cross join lateral (
        select of_level.id
        from generate_series(0, 9) as level (priority)
        cross join lateral (
            select job.id
            from exportbox.job
            where job.state = 'pending'
                and job.kind = room.kind
                and job.priority = level.priority
                and job.run_at <= now()
                and (job.not_after is null or job.not_after > now() or job.started_at is not null)
            order by job.run_at, job.id
            limit room.slots
            for update skip locked
        ) as of_level
        limit room.slots
    ) as ready
),
claimed as (
    update exportbox.job
    set state = 'running',
        attempt = job.attempt + 1,
        leases = job.leases + 1,
        lease_token = gen_random_uuid(),
        worker = $3::text,
        lease_expires_at = now() + $4::bigint * interval '1 millisecond',
        deadline_at = now() + case job.kind
            when 'export' then least(job.timeout, $5::bigint * interval '1 millisecond')
            else $6::bigint * interval '1 millisecond'
        end,
        started_at = coalesce(job.started_at, now())
    from due
    where job.id = due.id
    returning job.id, job.export_id, job.kind, job.lease_token, job.attempt, job.max_attempts, job.leases, job.crashes,
        job.report_version, job.deadline_at, job.priority, job.run_at
),
opened as (
    insert into exportbox.attempt (lease_token, job_id, number, worker)
    select claimed.lease_token, claimed.id, claimed.leases, $3::text
    from claimed
)
select
    claimed.id,
    claimed.export_id,
    claimed.kind,
    claimed.lease_token,
    claimed.attempt,
    claimed.leases as number,
    least(claimed.max_attempts, case claimed.kind when 'export' then $7::smallint else $8::smallint end) as max_attempts,
    (extract(epoch from claimed.deadline_at - now()) * 1000)::bigint as time_left_ms,
    exists (select from probing where probing.scope = claimed.kind) as is_probe
from claimed
order by claimed.priority, claimed.run_at, claimed.id
