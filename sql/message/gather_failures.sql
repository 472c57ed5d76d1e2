-- name: gather_failures
-- Put exports that died into notices to their recipients: one notice a recipient and window, at once when the last one is a window ago. Run by
-- one process at a time; what others do meanwhile is found by the next. What died more than a day ago is not told any more.
-- $1 bigint: window, ms
with
turn as materialized (
    select pg_try_advisory_xact_lock(hashtext('exportbox'), hashtext('notice')) as is_ours
),
died as materialized (
    select job.id, job.export_id
    from exportbox.job
    where job.state = 'dead' and job.kind = 'export' and job.noticed_at is null and job.finished_at > now() - interval '1 day'
        and (select turn.is_ours from turn)
    order by job.finished_at, job.id
    limit 200
    for update skip locked
),
noticed as (
    update exportbox.job
    set noticed_at = now()
    from died
    where job.id = died.id
),
named as materialized (
    select wanted.export_id, lower(listed.address) as key, listed.address, listed.position
    from exportbox.recipients_now((select array_agg(died.export_id) from died)) as wanted
    cross join lateral unnest(wanted.recipients) with ordinality as listed (address, position)
),
opened as (
    insert into exportbox.notice (kind, recipient, planned_at, due_at)
    select 'failure', named.address, plan.at, plan.at
    from (
        select named.key, (array_agg(named.address order by named.position, named.export_id))[1] as address
        from named
        group by named.key
    ) as named
    cross join lateral (
        select greatest(now(), max(notice.planned_at) + $1::bigint * interval '1 millisecond') as at
        from exportbox.notice
        where lower(notice.recipient) = named.key and notice.kind = 'failure'
    ) as plan
    on conflict (lower(recipient)) where kind = 'failure' and status = 'pending' and attempt = 0
        do update set recipient = notice.recipient
    returning notice.id, lower(notice.recipient) as key
),
listed as (
    insert into exportbox.notice_export (notice_id, export_id)
    select distinct opened.id, named.export_id
    from opened
    join named on named.key = opened.key
    on conflict do nothing
)
select count(*) as exports
from died
