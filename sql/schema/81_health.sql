-- Is it working: who holds back vacuum, and the view that answers in one row.

create function exportbox.oldest_snapshot(alarm_transactions bigint default 1000000, alarm_age interval default '1 hour')
returns table (holder text, transactions bigint, age interval, alarm text)
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    -- Transactions are counted for everybody; since when a session is in its transaction is shown only to its own role and to members of
    -- pg_read_all_stats. The owner of this function is the one who asks.
    with holding as (
        select case when activity.application_name like 'exportbox export %' then substr(activity.application_name, 11)
                when activity.application_name = '' then 'a session' else left(activity.application_name, 60) end
                || format(' (pid %s)', activity.pid) as holder,
            greatest(age(activity.backend_xmin), age(activity.backend_xid))::bigint as transactions,
            clock_timestamp() - activity.xact_start as age
        from pg_stat_activity as activity
        where (activity.datname = current_database() or activity.datname is null)
            and activity.pid <> pg_backend_pid()
            and activity.backend_type is distinct from 'autovacuum worker'
        union all
        select format('prepared transaction %s', left(prepared.gid, 60)), age(prepared.transaction), clock_timestamp() - prepared.prepared
        from pg_prepared_xacts as prepared
        where prepared.database = current_database()
        union all
        select format('replication slot %s', slot.slot_name), age(slot.xmin), null
        from pg_replication_slots as slot
    )
    select holding.holder, holding.transactions, holding.age,
        case when holding.transactions >= alarm_transactions or holding.age >= alarm_age then
            format('Nothing that %s transactions left behind%s can be vacuumed: %s holds an old snapshot. End it, or let it finish.',
                holding.transactions, ' in ' || date_trunc('second', holding.age), holding.holder)
        end
    from holding
    where holding.transactions is not null
    order by holding.transactions desc, holding.age desc nulls last
    limit 1
$$;
comment on function exportbox.oldest_snapshot(bigint, interval) is
    'Who holds back vacuum on these tables: a session of this database, a prepared transaction, a slot; and whether that is worth an alarm.';
grant execute on function exportbox.oldest_snapshot(bigint, interval) to exportbox_operator, exportbox_reader;

create view exportbox.health as
select
    pending.due,
    pending.waiting,
    (select count(*) from exportbox.job where job.state = 'running') as running,
    (select count(*) from exportbox.job where job.state = 'dead') as dead,
    pending.oldest_due_age,
    pending.next_due_at,
    (select count(*) from exportbox.worker where worker.seen_at > now() - interval '2 minutes'
        or worker.waiting_until > now()) as workers,
    (select string_agg(exportbox.shown_kind(control.scope) || ': ' || control.reason, ' ' order by control.scope) from exportbox.control) as on_hold,
    snapshot.transactions as snapshot_transactions,
    snapshot.age as snapshot_age,
    snapshot.holder as snapshot_holder,
    snapshot.alarm as snapshot_alarm,
    pending.paused as paused,
    (select string_agg(concat_ws(': ', format('%s by %s since %s UTC', pause.scope, pause.paused_by,
            to_char(pause.paused_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')), pause.reason), '; ' order by pause.id) from exportbox.pause) as pauses,
    last_drain.ended_at as last_drain_at,
    last_drain.ended as last_drain,
    login.connections as login_connections,
    login.most as login_connection_limit,
    (select sum(pg_stat_database.numbackends) from pg_stat_database)::bigint as server_connections,
    current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
        - coalesce(current_setting('reserved_connections', true)::bigint, 0) as server_connection_limit,
    case when mail_quota.most_a_day is not null then greatest(0, mail_quota.most_a_day - mail_quota.sent) end as mail_quota_left,
    mail_quota.asked_at as mail_quota_asked_at,
    (select coalesce(jsonb_object_agg(exportbox.shown_kind(counted.kind) || ' ' || counted.state, counted.jobs), '{}')
        from (
            select job.kind, job.state, count(*) as jobs
            from exportbox.job
            where job.state in ('pending', 'running', 'dead')
            group by job.kind, job.state
        ) as counted) as jobs
from (
    select
        count(*) filter (where not kept.is_paused and job.run_at <= now()) as due,
        count(*) filter (where not kept.is_paused and job.run_at > now()) as waiting,
        count(*) filter (where kept.is_paused) as paused,
        now() - min(job.run_at) filter (where not kept.is_paused and job.run_at <= now()) as oldest_due_age,
        min(job.run_at) filter (where not kept.is_paused and job.run_at > now()) as next_due_at
    from exportbox.open_lanes() as lane
    join exportbox.job on job.kind = lane.kind and job.state = 'pending'
    cross join lateral (values (lane.is_paused or not exportbox.is_open(job, lane.closed_reports, lane.closed_sources))) as kept (is_paused)
) as pending
left join exportbox.oldest_snapshot() as snapshot on true
left join exportbox.last_drain on true
left join exportbox.mail_quota on true
-- Of the daemon's logins the one with the most connections.
left join lateral (
    select count(*) as connections, nullif(pg_roles.rolconnlimit, -1)::bigint as most
    from pg_roles
    join pg_stat_activity on pg_stat_activity.usesysid = pg_roles.oid
    where pg_roles.rolcanlogin and not pg_roles.rolsuper and pg_has_role(pg_roles.oid, 'exportbox_worker', 'member')
    group by pg_roles.oid, pg_roles.rolconnlimit
    order by count(*) desc
    limit 1
) as login on true;
comment on view exportbox.health is 'Is it working, in one row.';
comment on column exportbox.health.due is 'Jobs whose instant has come and that nobody has paused.';
comment on column exportbox.health.waiting is 'Jobs for a later instant, back-offs among them; paused ones are not counted.';
comment on column exportbox.health.running is 'Jobs under a lease.';
comment on column exportbox.health.dead is 'Jobs that only a person brings back.';
comment on column exportbox.health.oldest_due_age is 'How long the oldest due job has waited: scale by this.';
comment on column exportbox.health.next_due_at is 'The next instant at which something becomes due.';
comment on column exportbox.health.workers is 'Processes with a recent sign of life.';
comment on column exportbox.health.on_hold is 'What a wrong setting holds up, and why.';
comment on column exportbox.health.snapshot_transactions is 'Transactions since the oldest snapshot of this database: what they left behind cannot be vacuumed. Null: there is none.';
comment on column exportbox.health.snapshot_age is 'How long its transaction has been open; null: not known, see snapshot_holder.';
comment on column exportbox.health.snapshot_holder is 'Who holds it: an export, another session, a prepared transaction or a replication slot.';
comment on column exportbox.health.snapshot_alarm is 'What to do, from 1,000,000 transactions or one hour on; null below.';
comment on column exportbox.health.paused is 'Jobs that wait because somebody has paused them.';
comment on column exportbox.health.pauses is 'What is paused, by whom, since when and why; null: nothing.';
comment on column exportbox.health.last_drain_at is 'When a drain last came to its end; null: none has.';
comment on column exportbox.health.last_drain is 'How it ended: drained, budget (more was due), dead (drained, and a job died) or on_hold (a wrong setting).';
comment on column exportbox.health.login_connections is 'Connections of the daemon''s login on this server; of several the one with the most; null: none is connected.';
comment on column exportbox.health.login_connection_limit is 'The most that this login may have; null: no limit of its own.';
comment on column exportbox.health.server_connections is 'Connections to this server.';
comment on column exportbox.health.server_connection_limit is 'The most that the server gives to logins that are no superusers.';
comment on column exportbox.health.mail_quota_left is 'Recipients that SES still takes in its current 24 hours, when it was last asked; null: not known, or no limit.';
comment on column exportbox.health.mail_quota_asked_at is 'When that was: at the start of a run, each hour of it, and after a drain that mailed.';
comment on column exportbox.health.jobs is 'How many jobs by kind and state, such as "export dead": pending, running and dead ones.';
grant select on exportbox.health to exportbox_operator, exportbox_reader;
