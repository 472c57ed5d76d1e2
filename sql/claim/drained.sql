-- name: drained
-- What a drain leaves behind; and a note of how it ended, for who asks the health view.
-- $1 text worker: worker id
-- $2 bigint time_left: what is left of its longest runtime, ms, null for no limit
-- $3 bigint claimed: jobs it claimed
-- $4 bigint exported: exports stored
-- $5 bigint mailed: mails accepted
-- $6 bigint dead: jobs that died
-- $7 bigint max_runtime: its longest runtime, ms, null for no limit
-- $8 int source_slots: most exports at once over all processes, null for no limit
with
lane as materialized (
    select lanes.kind, lanes.is_paused, lanes.is_held, lanes.closed_reports, lanes.closed_sources, in_time.closed_reports as slow_reports
    from exportbox.lanes(null) as lanes
    join exportbox.lanes($2::bigint) as in_time using (kind)
),
pending as (
    select job.kind, job.run_at, lane.is_held,
        lane.is_paused or not exportbox.is_open(job, lane.closed_reports, lane.closed_sources) as is_paused,
        not exportbox.is_open(job, lane.slow_reports, null) as is_too_long
    from lane
    join exportbox.job on job.kind = lane.kind and job.state = 'pending'
),
counted as (
    select
        count(*) filter (where not is_paused and not is_held and run_at <= now()) as due,
        count(*) filter (where not is_paused and not is_held and run_at <= now() and is_too_long) as too_long,
        count(*) filter (where not is_paused and (is_held or run_at > now())) as waiting,
        count(*) filter (where is_paused) as paused,
        min(run_at) filter (where not is_paused and run_at > now()) as next_due_at,
        array_agg(distinct kind) filter (where not is_paused and is_held and run_at <= now()) as held
    from pending
),
held as (
    select string_agg(exportbox.shown_kind(control.scope) || ': ' || control.reason, ' ' order by control.scope) as reason
    from counted
    join exportbox.control on control.scope = any (counted.held)
),
noted as (
    insert into exportbox.last_drain (ended, claimed, exported, mailed, dead, due_left, max_runtime, source_slots)
    select
        case when held.reason is not null then 'on_hold' when counted.due > 0 then 'budget' when $6::bigint > 0 then 'dead' else 'drained' end,
        $3::bigint, $4::bigint, $5::bigint, $6::bigint, counted.due, $7::bigint * interval '1 millisecond', $8::int
    from counted, held
    on conflict (only_one) do update
    set ended_at = excluded.ended_at, ended = excluded.ended, claimed = excluded.claimed, exported = excluded.exported,
        mailed = excluded.mailed, dead = excluded.dead, due_left = excluded.due_left,
        max_runtime = excluded.max_runtime, source_slots = excluded.source_slots
)
select counted.due, counted.too_long, counted.waiting, counted.paused,
    least(counted.next_due_at, (select min(schedule.next_due_at) from exportbox.schedule
        where schedule.disabled_at is null and schedule.next_due_at > now() and schedule.next_due_at < 'infinity')) as next_due_at,
    (select count(*) from exportbox.job where job.state = 'running' and job.worker <> $1::text) as running_elsewhere,
    held.reason as on_hold
from counted, held
