-- name: figures
-- The figures of the tables for metrics, one a row; asked at most every few seconds, when somebody scrapes. No figure costs more than the
-- index entries of what is not final: completed and cancelled jobs are not counted, the others up to 100,000 each.
with
-- What somebody has paused is neither due nor waiting: more processes would not start it.
lane as materialized (
    select lanes.kind, lanes.is_paused, lanes.closed_reports, lanes.closed_sources
    from exportbox.lanes(null) as lanes
),
counted as (
    select lane.kind, depth.state, depth.jobs
    from lane
    cross join lateral (
        select 'due' as state, (select count(*) from (
            select from exportbox.job where job.state = 'pending' and job.kind = lane.kind and job.run_at <= now()
                and not lane.is_paused and exportbox.is_open(job, lane.closed_reports, lane.closed_sources) limit 100000) as due) as jobs
        union all
        select 'waiting', (select count(*) from (
            select from exportbox.job where job.state = 'pending' and job.kind = lane.kind and job.run_at > now()
                and not lane.is_paused and exportbox.is_open(job, lane.closed_reports, lane.closed_sources) limit 100000) as waiting)
        union all
        select 'running', (select count(*) from (
            select from exportbox.job where job.state = 'running' and job.kind = lane.kind limit 100000) as running)
    ) as depth
),
dead as (
    select lane.kind, count(buried.kind) as jobs
    from (values ('export'), ('message')) as lane (kind)
    left join (select job.kind from exportbox.job where job.state = 'dead' limit 100000) as buried on buried.kind = lane.kind
    group by lane.kind
),
oldest as (
    -- One index entry for each kind and priority.
    select lane.kind, extract(epoch from now() - min(first.run_at)) as age_s
    from lane
    cross join generate_series(0, 9) as level (priority)
    left join lateral (
        select job.run_at
        from exportbox.job
        where job.state = 'pending' and job.kind = lane.kind and job.priority = level.priority and job.run_at <= now()
            and not lane.is_paused and exportbox.is_open(job, lane.closed_reports, lane.closed_sources)
        order by job.run_at, job.id
        limit 1
    ) as first on true
    group by lane.kind
),
snapshot as materialized (
    select oldest.transactions, oldest.age
    from exportbox.oldest_snapshot() as oldest
)
select 'exportbox_jobs' as metric, exportbox.shown_kind(counted.kind) as kind, counted.state as state, counted.jobs::double precision as value from counted
union all
select 'exportbox_jobs', exportbox.shown_kind(dead.kind), 'dead', dead.jobs from dead
union all
select 'exportbox_oldest_due_age_seconds', exportbox.shown_kind(oldest.kind), null, coalesce(greatest(oldest.age_s, 0), 0)::double precision from oldest
union all
select 'exportbox_on_hold', exportbox.shown_kind(lane.kind), null, (exists (select from exportbox.control where control.scope = lane.kind))::integer
from (values ('export'), ('message')) as lane (kind)
union all
select 'exportbox_workers', null, null, count(*)
from exportbox.worker
where worker.seen_at > now() - interval '2 minutes' or worker.waiting_until > now()
union all
select 'exportbox_snapshot_age_seconds', null, null, coalesce(max(extract(epoch from snapshot.age)), 0)::double precision from snapshot
union all
select 'exportbox_snapshot_transactions', null, null, coalesce(max(snapshot.transactions), 0)::double precision from snapshot
union all
select 'exportbox_server_connections_used', null, null, sum(pg_stat_database.numbackends)::double precision from pg_catalog.pg_stat_database
union all
select 'exportbox_server_connections_limit', null, null, current_setting('max_connections')::double precision
