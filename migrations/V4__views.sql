-- The stable API for people: no payload, no address in clear except for operators and the requester.
-- security_barrier: a function in the caller's own WHERE must not be shown rows before the view has decided who may see them.
-- Behind that barrier the caller's ORDER BY and LIMIT are not seen, only conditions on plain columns. So that nobody reads a history of millions
-- to see twenty rows, a view brings its rows newest first by itself, and what hangs on a row is looked up row by row: "offset 0" keeps the planner
-- from joining whole tables instead. Whose row it is, is looked up for requesters only.

create view exportbox.exports with (security_barrier) as
select
    export.id,
    export.state,
    request.report,
    request.requested_by,
    request.requested_at,
    job.started_at,
    case when export.state <> 'delivering' then greatest(job.finished_at, mail.last_finished_at) end as finished_at,
    coalesce(stored.rows, running.rows) as rows,
    coalesce(stored.bytes, running.bytes) as bytes,
    coalesce(stored.objects, 0) as objects,
    job.leases as attempts,
    mail.mails,
    mail.undelivered,
    stored.as_of,
    job.error_class,
    job.error,
    running.expected_rows,
    case when export.state in ('delivering', 'completed') then 100
        when running.rows is not null and running.expected_rows > 0
            then least(99, floor(100.0 * running.rows / running.expected_rows))::integer
    end as percent,
    running.progress_at,
    round(running.rows / nullif(running.seconds, 0))::bigint as rows_per_second,
    round(running.bytes / nullif(running.seconds, 0))::bigint as bytes_per_second,
    running.expected_end_at
-- One branch for each way to a state, so that a condition on it leaves only what can fulfil it.
from (
    (select job.export_id as id, job.state
    from exportbox.job
    where job.kind = 'export' and job.state <> 'completed'
    order by job.export_id desc)
    union all
    (select job.export_id, 'delivering'
    from exportbox.job
    where job.kind = 'delivery' and job.state in ('pending', 'running')
    group by job.export_id
    order by job.export_id desc)
    union all
    (select outbox.id, 'completed'
    from exportbox.outbox
    where (select bool_and(job.state = 'completed' or job.kind = 'delivery' and job.state in ('dead', 'cancelled'))
        from exportbox.job where job.export_id = outbox.id)
    order by outbox.id desc)
) as export
cross join lateral (
    select outbox.report, outbox.requested_by, outbox.requested_at from exportbox.outbox where outbox.id = export.id offset 0
) as request
cross join lateral (
    select job.started_at, job.finished_at, job.leases, job.lease_token, job.error_class, job.error
    from exportbox.job where job.export_id = export.id and job.kind = 'export' offset 0
) as job
cross join lateral (
    select
        count(*) as mails,
        count(*) filter (where delivery_job.state in ('dead', 'cancelled')) as undelivered,
        max(delivery_job.finished_at) as last_finished_at
    from exportbox.job as delivery_job
    where delivery_job.export_id = export.id and delivery_job.kind = 'delivery'
) as mail
cross join lateral (
    select sum(object.rows)::bigint as rows, sum(object.bytes)::bigint as bytes, nullif(count(*), 0) as objects, max(object.as_of) as as_of
    from exportbox.object
    where object.export_id = export.id
) as stored
left join lateral (
    select attempt.rows, attempt.bytes, attempt.expected_rows, attempt.progress_at,
        extract(epoch from attempt.progress_at - attempt.started_at) as seconds,
        -- An end that has passed was no good guess.
        case when attempt.rows between 1 and attempt.expected_rows then nullif(greatest(now(), attempt.progress_at
            + (attempt.progress_at - attempt.started_at) * (attempt.expected_rows::double precision / attempt.rows - 1)), now())
        end as expected_end_at
    from exportbox.attempt
    where attempt.lease_token = job.lease_token
    offset 0
) as running on true
where exportbox.may_see(request.requested_by)
order by export.id desc;
comment on view exportbox.exports is 'One row per request. Readers see all, requesters their own.';
comment on column exportbox.exports.id is 'The request''s id.';
comment on column exportbox.exports.state is 'pending, running, delivering, completed, dead or cancelled; completed when every mail is final.';
comment on column exportbox.exports.report is 'The report''s name; null for an ad-hoc query.';
comment on column exportbox.exports.requested_by is 'The role that asked.';
comment on column exportbox.exports.requested_at is 'When it asked.';
comment on column exportbox.exports.started_at is 'First claim.';
comment on column exportbox.exports.finished_at is 'When the last job became final.';
comment on column exportbox.exports.rows is 'Data rows: so far while running, final afterwards.';
comment on column exportbox.exports.bytes is 'Bytes stored: so far while running, final afterwards.';
comment on column exportbox.exports.objects is 'Stored files.';
comment on column exportbox.exports.attempts is 'How often the export was started.';
comment on column exportbox.exports.mails is 'Recipients.';
comment on column exportbox.exports.undelivered is 'Recipients that got no mail and will get none unless requeued.';
comment on column exportbox.exports.as_of is 'The instant whose data the file holds.';
comment on column exportbox.exports.error_class is 'Class of the last error.';
comment on column exportbox.exports.error is 'The last error in words.';
comment on column exportbox.exports.expected_rows is 'While it runs: what the source''s planner expects of the query. A guess; null: it could not be asked.';
comment on column exportbox.exports.percent is 'Rows of the expected rows, at most 99 while it runs; 100 when the file is stored; null: not known.';
comment on column exportbox.exports.progress_at is 'While it runs: when rows and bytes were last heard of.';
comment on column exportbox.exports.rows_per_second is 'While it runs: over this attempt so far.';
comment on column exportbox.exports.bytes_per_second is 'While it runs: stored bytes, over this attempt so far.';
comment on column exportbox.exports.expected_end_at is 'While it runs: when the expected rows are reached at this rate; null: not known, or more rows came than expected.';

create view exportbox.jobs with (security_barrier) as
select job.id, job.export_id, job.kind, job.state, job.run_at, job.priority, job.attempt, job.max_attempts, job.crashes,
    job.worker, job.lease_expires_at, job.deadline_at, job.cancel_requested_at, job.started_at, job.finished_at,
    job.error_class, job.error
from exportbox.job
where pg_has_role(current_user, 'exportbox_reader', 'usage')
    or (select outbox.requested_by from exportbox.outbox where outbox.id = job.export_id) = current_user
order by job.id desc;
comment on view exportbox.jobs is 'One row per job: what a worker claims.';
comment on column exportbox.jobs.id is 'The job.';
comment on column exportbox.jobs.export_id is 'The request it serves.';
comment on column exportbox.jobs.kind is 'export or delivery.';
comment on column exportbox.jobs.state is 'pending, running, completed, dead or cancelled.';
comment on column exportbox.jobs.run_at is 'Not before: the request''s wish or the end of a back-off.';
comment on column exportbox.jobs.priority is '0 to 9, lower first.';
comment on column exportbox.jobs.attempt is 'Attempts that count.';
comment on column exportbox.jobs.max_attempts is 'The limit; null: the daemon''s setting.';
comment on column exportbox.jobs.crashes is 'Leases that expired; three are death.';
comment on column exportbox.jobs.worker is 'Who holds the lease.';
comment on column exportbox.jobs.lease_expires_at is 'Until when, unless a heartbeat moves it.';
comment on column exportbox.jobs.deadline_at is 'When the attempt has had enough time.';
comment on column exportbox.jobs.cancel_requested_at is 'Asked to stop since.';
comment on column exportbox.jobs.started_at is 'First claim.';
comment on column exportbox.jobs.finished_at is 'When it became final.';
comment on column exportbox.jobs.error_class is 'Class of the last error.';
comment on column exportbox.jobs.error is 'The last error in words.';

create view exportbox.attempts with (security_barrier) as
select attempt.job_id, job.export_id, job.kind, attempt.number, attempt.worker, attempt.exporter, attempt.started_at, attempt.finished_at,
    attempt.outcome, attempt.rows, attempt.bytes, attempt.backend_pid, attempt.error_class, attempt.error,
    case when pg_has_role(current_user, 'exportbox_operator', 'usage') then attempt.error_detail end as error_detail,
    attempt.expected_rows, attempt.progress_at, coalesce(attempt.finished_at, now()) - attempt.started_at as duration,
    round(attempt.rows / nullif(elapsed.seconds, 0))::bigint as rows_per_second,
    round(attempt.bytes / nullif(elapsed.seconds, 0))::bigint as bytes_per_second, job.state as job_state
from exportbox.attempt
join exportbox.job on job.id = attempt.job_id
cross join lateral (
    select extract(epoch from coalesce(attempt.finished_at, attempt.progress_at) - attempt.started_at) as seconds
) as elapsed
where pg_has_role(current_user, 'exportbox_reader', 'usage')
    or (select outbox.requested_by from exportbox.outbox where outbox.id = job.export_id) = current_user;
comment on view exportbox.attempts is 'One row per lease: what was tried, by whom, and what became of it.';
comment on column exportbox.attempts.job_id is 'The job.';
comment on column exportbox.attempts.export_id is 'The request it serves.';
comment on column exportbox.attempts.kind is 'export or delivery.';
comment on column exportbox.attempts.number is 'Counts the leases of the job.';
comment on column exportbox.attempts.worker is 'Who held the lease.';
comment on column exportbox.attempts.exporter is 'aws_s3 or copy.';
comment on column exportbox.attempts.started_at is 'The claim.';
comment on column exportbox.attempts.finished_at is 'The end of the lease.';
comment on column exportbox.attempts.outcome is 'completed, retried, buried, released, cancelled, reaped or erased; null while running.';
comment on column exportbox.attempts.rows is 'Rows so far.';
comment on column exportbox.attempts.bytes is 'Bytes so far.';
comment on column exportbox.attempts.backend_pid is 'Server process of the query, see pg_stat_activity on the source.';
comment on column exportbox.attempts.error_class is 'Class of the error.';
comment on column exportbox.attempts.error is 'The error in words.';
comment on column exportbox.attempts.error_detail is 'The raw text, which may hold data; operators only.';
comment on column exportbox.attempts.expected_rows is 'What the source''s planner expected of the query.';
comment on column exportbox.attempts.progress_at is 'When a heartbeat last brought more rows or bytes.';
comment on column exportbox.attempts.duration is 'From the claim to the end of the lease, or so far.';
comment on column exportbox.attempts.rows_per_second is 'From the claim to the end, or to the last progress.';
comment on column exportbox.attempts.bytes_per_second is 'The same of the stored bytes.';
comment on column exportbox.attempts.job_state is 'The state of its job now: with running, the attempt that is not finished is the one under way.';

create view exportbox.deliveries with (security_barrier) as
select delivery.id, delivery.export_id, delivery.job_id,
    case when pg_has_role(current_user, 'exportbox_operator', 'usage') or request.requested_by = current_user
        then delivery.recipient else exportbox.mask(delivery.recipient) end as recipient,
    delivery.status, delivery.provider, delivery.message_id, job.leases as attempts, delivery.link_expires_at, delivery.link_cut_by,
    delivery.error_class, delivery.error, delivery.updated_at, job.state as job_state
from exportbox.delivery
join exportbox.job on job.id = delivery.job_id and job.kind = 'delivery'
cross join lateral (
    select outbox.requested_by from exportbox.outbox where outbox.id = delivery.export_id offset 0
) as request
where exportbox.may_see(request.requested_by);
comment on view exportbox.deliveries is 'One row per recipient.';
comment on column exportbox.deliveries.id is 'The delivery; the mail carries it.';
comment on column exportbox.deliveries.export_id is 'The export that it announces.';
comment on column exportbox.deliveries.job_id is 'The job that mails it.';
comment on column exportbox.deliveries.recipient is 'The address, masked except for operators and the requester.';
comment on column exportbox.deliveries.status is 'pending, sending, unknown, accepted, delivered, bounced, complained, rejected, suppressed, dead or cancelled.';
comment on column exportbox.deliveries.provider is 'ses, smtp or file.';
comment on column exportbox.deliveries.message_id is 'The provider''s id.';
comment on column exportbox.deliveries.attempts is 'How often it was started.';
comment on column exportbox.deliveries.link_expires_at is 'When the mailed link dies.';
comment on column exportbox.deliveries.link_cut_by is 'Why earlier than asked: credentials or object.';
comment on column exportbox.deliveries.error_class is 'Class of the last error.';
comment on column exportbox.deliveries.error is 'The last error in words.';
comment on column exportbox.deliveries.updated_at is 'Last change of status.';
comment on column exportbox.deliveries.job_state is 'The state of its job: pending, running, completed, dead or cancelled. Finds what is not over with beside any history.';

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
    (select string_agg(control.scope || ': ' || control.reason, ' ' order by control.scope) from exportbox.control) as on_hold,
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
    (select coalesce(jsonb_object_agg(counted.kind || ' ' || counted.state, counted.jobs), '{}')
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
comment on column exportbox.health.oldest_due_age is 'How long the oldest due job has waited: the figure to scale by.';
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
comment on column exportbox.health.server_connection_limit is 'The most that the server gives to those who are not superusers.';
comment on column exportbox.health.mail_quota_left is 'Recipients that SES takes until its 24 hours are over, when it was last asked; null: not known, or no limit.';
comment on column exportbox.health.mail_quota_asked_at is 'When that was: at the start of a run, each hour of it, and after a drain that mailed.';
comment on column exportbox.health.jobs is 'How many jobs by kind and state, such as "export dead": pending, running and dead ones.';

create view exportbox.objects with (security_barrier) as
select object.export_id, object.part, object.bucket, object.key, object.bytes, object.rows, object.checksum, object.content_type,
    object.filename, object.as_of, object.created_at
from exportbox.object
where pg_has_role(current_user, 'exportbox_reader', 'usage')
    or (select outbox.requested_by from exportbox.outbox where outbox.id = object.export_id) = current_user;
comment on view exportbox.objects is 'The manifest: one row per stored file of a finished export.';
comment on column exportbox.objects.export_id is 'The export whose result this is.';
comment on column exportbox.objects.part is 'From 1; the file is the parts in this order, end to end.';
comment on column exportbox.objects.bucket is 'The bucket.';
comment on column exportbox.objects.key is 'The key.';
comment on column exportbox.objects.bytes is 'Size.';
comment on column exportbox.objects.rows is 'Data rows, on part 1.';
comment on column exportbox.objects.checksum is 'sha256:… where the daemon saw the bytes.';
comment on column exportbox.objects.content_type is 'What the link answers.';
comment on column exportbox.objects.filename is 'What the browser saves.';
comment on column exportbox.objects.as_of is 'The instant whose data this is.';
comment on column exportbox.objects.created_at is 'When it was stored.';

create view exportbox.events with (security_barrier) as
select event.id, event.at, event.export_id, event.job_id, event.kind, event.actor, event.detail
from exportbox.event
where pg_has_role(current_user, 'exportbox_reader', 'usage')
    or (select outbox.requested_by from exportbox.outbox where outbox.id = event.export_id) = current_user
order by event.id desc;
comment on view exportbox.events is 'The history of what was out of the ordinary.';
comment on column exportbox.events.id is 'Order of writing.';
comment on column exportbox.events.at is 'When.';
comment on column exportbox.events.export_id is 'The export concerned.';
comment on column exportbox.events.job_id is 'The job concerned.';
comment on column exportbox.events.kind is 'What happened.';
comment on column exportbox.events.actor is 'Who did it.';
comment on column exportbox.events.detail is 'One sentence without personal data.';
