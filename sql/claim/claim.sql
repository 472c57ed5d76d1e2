-- name: claim
-- Take as many due jobs as there are free slots. Run in every cycle, in a thorough one after reap and expire; commits before any work starts.
-- $1 int export_slots: free export slots
-- $2 int message_slots: free message slots
-- $3 text worker: worker id
-- $4 bigint lease: lease, ms
-- $5 bigint export_timeout: longest timeout of an export, ms; a request may ask for less
-- $6 bigint message_timeout: timeout of a message, ms
-- $7 smallint export_attempts: most attempts of an export; a request may ask for less
-- $8 smallint message_attempts: max_attempts of a message
-- $9 timestamptz[] after_run_at: run_at to begin after, for each level of exports, then of messages; null: from the start
-- $10 uuid[] after_id: the id that goes with it
-- $11 boolean last_chance: may take a job that the next crash would bury
-- $12 int source_slots: most exports at once over all processes, null for no limit
-- $13 bigint time_left: time that is left for an export, ms: no report that usually takes longer; null for no limit
with
-- Counted under a lock that this claim keeps to its end: two claims cannot both take the last place.
source as materialized (
    select case when $1::int > 0 and $12::int is not null then least($1::int, exportbox.places_on_source($12::int)) else $1::int end as places
),
-- What is paused, on hold, or too slow for the time that is left: read once, and nothing of it is looked up for each job.
lane as materialized (
    select lanes.kind, lanes.is_paused, lanes.is_held, lanes.closed_reports, lanes.closed_sources
    from exportbox.lanes($13::bigint) as lanes
),
-- A kind of job on hold gets one slot whenever its probe is due; taking the probe moves the next one.
probing as (
    update exportbox.control
    set probe_at = now() + least(interval '30 seconds' * power(2, least(control.probes, 4)), interval '5 minutes')
    where control.probe_at <= now()
        and case control.scope when 'export' then (select source.places from source) else $2::int end > 0
        and not exists (select from lane where lane.kind = control.scope and lane.is_paused)
    returning control.scope
),
room as (
    select lane.kind, lane.closed_reports, lane.closed_sources, case lane.kind when 'export' then 1 else 11 end as marks_before, case
            when lane.is_paused then 0 -- guard: paused kind
            when lane.is_held then (probing.scope is not null)::int
            when lane.kind = 'export' then (select source.places from source)
            else $2::int
        end as slots
    from lane
    left join probing on probing.scope = lane.kind
),
-- Level by level, so that jobs that wait for a later instant are never stepped over: within a level the index is ordered by run_at. A look that
-- begins after a mark does not step over what was claimed before either: under a long snapshot nothing can remove those entries.
due as materialized (
    select ready.id, ready.priority, ready.run_at, ready.on_last_chance
    from room
    cross join lateral (
        select of_level.id, level.priority, of_level.run_at, of_level.on_last_chance
        from generate_series(0, 9) as level (priority)
        cross join lateral (
            select job.id, job.run_at, job.crashes + 1 >= exportbox.crash_limit() as on_last_chance
            from exportbox.job
            where job.state = 'pending'
                and job.kind = room.kind
                and job.priority = level.priority
                and (job.run_at, job.id) > (
                    coalesce(($9::timestamptz[])[room.marks_before + level.priority], '-infinity'),
                    coalesce(($10::uuid[])[room.marks_before + level.priority], '00000000-0000-0000-0000-000000000000'))
                and exportbox.is_startable(job, $11::boolean, room.closed_reports, room.closed_sources)
            order by job.run_at, job.id
            limit room.slots
            for update skip locked -- guard: row lock
        ) as of_level
        limit room.slots
    ) as ready
),
-- A job that the next crash would bury runs beside no other such job of its process: of two that crash together one may be innocent.
chosen as (
    select due.id
    from due
    where not due.on_last_chance
    union all
    (
        select due.id
        from due
        where due.on_last_chance
        order by due.priority, due.run_at, due.id
        limit 1
    )
),
claimed as (
    update exportbox.job
    set state = 'running',
        attempt = job.attempt + 1,
        leases = job.leases + 1,
        lease_token = gen_random_uuid(), -- guard: new token
        worker = $3::text,
        lease_expires_at = now() + $4::bigint * interval '1 millisecond',
        deadline_at = now() + case job.kind
            when 'export' then least(job.timeout, $5::bigint * interval '1 millisecond')
            else $6::bigint * interval '1 millisecond'
        end,
        started_at = coalesce(job.started_at, now())
    from chosen
    where job.id = chosen.id
    returning job.id, job.export_id, job.kind, job.lease_token, job.attempt, job.max_attempts, job.leases, job.crashes,
        job.report_version, job.deadline_at, job.priority, job.run_at
),
opened as (
    insert into exportbox.attempt (lease_token, job_id, number, worker)
    select claimed.lease_token, claimed.id, claimed.leases, $3::text
    from claimed -- guard: attempt
)
-- Always a row, for the clock and for the slots that were looked for; without a claimed job the rest is null.
select
    look.at as looked_at,
    (select room.slots from room where room.kind = 'export') as export_slots,
    (select room.slots from room where room.kind = 'message') as message_slots,
    coalesce((select array_agg(pause.id) from exportbox.pause), '{}') as pauses,
    claimed.id,
    claimed.export_id,
    claimed.kind,
    claimed.lease_token,
    claimed.attempt,
    claimed.leases as number,
    least(claimed.max_attempts, case claimed.kind when 'export' then $7::smallint else $8::smallint end) as max_attempts,
    (extract(epoch from claimed.deadline_at - now()) * 1000)::bigint as time_left_ms,
    exists (select from probing where probing.scope = claimed.kind) as is_probe,
    claimed.priority,
    case when isfinite(claimed.run_at) then claimed.run_at end as run_at,
    claimed.crashes + 1 >= exportbox.crash_limit() as on_last_chance
from (select now() as at) as look
left join claimed on true
order by claimed.priority, claimed.run_at, claimed.id
