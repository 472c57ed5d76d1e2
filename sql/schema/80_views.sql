-- The views: the stable API for people. No payload, no address in clear except for operators and the requester.
-- security_barrier: a function in the caller's own WHERE must not be shown rows before the view has decided who may see them.
-- Behind that barrier the caller's ORDER BY and LIMIT are not seen, only conditions on plain columns. So that nobody reads a history of millions
-- to see twenty rows, a view brings its rows newest first by itself, and what hangs on a row is looked up row by row: "offset 0" keeps the planner
-- from joining whole tables instead. Whose row it is, is looked up for requesters only.

create view exportbox.exports with (security_barrier) as -- guard: barrier of exports
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
    where job.kind = 'message' and job.state in ('pending', 'running')
    group by job.export_id
    order by job.export_id desc)
    union all
    (select outbox.id, 'completed'
    from exportbox.outbox
    where (select bool_and(job.state = 'completed' or job.kind = 'message' and job.state in ('dead', 'cancelled'))
        from exportbox.job where job.export_id = outbox.id)
    order by outbox.id desc)
) as export
cross join lateral (
    select outbox.report, outbox.requested_by, outbox.requested_at from exportbox.outbox where outbox.id = export.id offset 0
) as request
cross join lateral (
    select job.started_at, job.finished_at, job.leases, job.lease_token, job.error_class, job.error
    from exportbox.job where job.id = export.id offset 0
) as job
cross join lateral (
    select
        count(*) as mails,
        count(*) filter (where delivery_job.state in ('dead', 'cancelled')) as undelivered,
        max(delivery_job.finished_at) as last_finished_at
    from exportbox.job as delivery_job
    where delivery_job.export_id = export.id and delivery_job.kind = 'message'
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
grant select on exportbox.exports to exportbox_requester, exportbox_operator, exportbox_reader;

create view exportbox.jobs with (security_barrier) as -- guard: barrier of jobs
select job.id, job.export_id, exportbox.shown_kind(job.kind) as kind, job.state, job.run_at, job.priority, job.attempt, job.max_attempts, job.crashes,
    job.worker, job.lease_expires_at, job.deadline_at, job.cancel_requested_at, job.started_at, job.finished_at,
    job.error_class, job.error
from exportbox.job
where pg_has_role(current_user, 'exportbox_reader', 'usage')
    or (select outbox.requested_by from exportbox.outbox where outbox.id = job.export_id) = current_user
order by job.id desc;
comment on view exportbox.jobs is 'One row per job: what a worker claims.';
comment on column exportbox.jobs.id is 'Its subject: the export''s id, or the mail''s.';
comment on column exportbox.jobs.export_id is 'The request it serves; null for a mail that announces no export.';
comment on column exportbox.jobs.kind is 'export or delivery.';
comment on column exportbox.jobs.state is 'pending, running, completed, dead or cancelled.';
comment on column exportbox.jobs.run_at is 'It does not start before: what the request asked for, or the end of a back-off.';
comment on column exportbox.jobs.priority is '0 to 9, lower first.';
comment on column exportbox.jobs.attempt is 'Attempts that count.';
comment on column exportbox.jobs.max_attempts is 'The limit; null: the daemon''s setting.';
comment on column exportbox.jobs.crashes is 'Leases that expired; at the crash limit the job is dead.';
comment on column exportbox.jobs.worker is 'The process that holds the lease.';
comment on column exportbox.jobs.lease_expires_at is 'Until when, unless a heartbeat moves it.';
comment on column exportbox.jobs.deadline_at is 'When the attempt has had enough time.';
comment on column exportbox.jobs.cancel_requested_at is 'When it was asked to stop.';
comment on column exportbox.jobs.started_at is 'First claim.';
comment on column exportbox.jobs.finished_at is 'When it became final.';
comment on column exportbox.jobs.error_class is 'Class of the last error.';
comment on column exportbox.jobs.error is 'The last error in words.';
grant select on exportbox.jobs to exportbox_requester, exportbox_operator, exportbox_reader;

create view exportbox.attempts with (security_barrier) as -- guard: barrier of attempts
select attempt.job_id, job.export_id, exportbox.shown_kind(job.kind) as kind, attempt.number, attempt.worker, attempt.exporter, attempt.started_at, attempt.finished_at,
    attempt.outcome, attempt.rows, attempt.bytes, attempt.backend_pid, attempt.error_class, attempt.error,
    case when pg_has_role(current_user, 'exportbox_operator', 'usage') then attempt.error_detail end as error_detail, -- guard: raw words
    attempt.expected_rows, attempt.progress_at, coalesce(attempt.finished_at, now()) - attempt.started_at as duration,
    round(attempt.rows / nullif(elapsed.seconds, 0))::bigint as rows_per_second,
    round(attempt.bytes / nullif(elapsed.seconds, 0))::bigint as bytes_per_second, job.state as job_state, attempt.source
from exportbox.attempt
join exportbox.job on job.id = attempt.job_id
cross join lateral (
    select extract(epoch from coalesce(attempt.finished_at, attempt.progress_at) - attempt.started_at) as seconds
) as elapsed
where pg_has_role(current_user, 'exportbox_reader', 'usage')
    or (select outbox.requested_by from exportbox.outbox where outbox.id = job.export_id) = current_user;
comment on view exportbox.attempts is 'One row per lease: what was tried, by whom, and what became of it.';
comment on column exportbox.attempts.job_id is 'The job: the export''s id, or the mail''s.';
comment on column exportbox.attempts.export_id is 'The request it serves; null for a mail that announces no export.';
comment on column exportbox.attempts.kind is 'export or delivery.';
comment on column exportbox.attempts.number is 'Counts the leases of the job.';
comment on column exportbox.attempts.worker is 'The process that held the lease.';
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
comment on column exportbox.attempts.job_state is 'The state of its job now. Of a running job, the attempt that is not finished is the current one.';
comment on column exportbox.attempts.source is 'Name of the source that the query runs on; null for deliveries, and until it is known.';
grant select on exportbox.attempts to exportbox_requester, exportbox_operator, exportbox_reader;

create view exportbox.deliveries with (security_barrier) as -- guard: barrier of deliveries
select message.id, job.export_id,
    case when pg_has_role(current_user, 'exportbox_operator', 'usage') or request.requested_by = current_user
        then message.recipient else exportbox.mask(message.recipient) end as recipient, -- guard: masked recipient
    message.status, message.provider, message.message_id, job.leases as attempts, message.link_expires_at, message.link_cut_by,
    message.error_class, message.error, message.updated_at, job.state as job_state, message.origin
from exportbox.message
join exportbox.job on job.id = message.id and job.kind = 'message'
left join lateral (
    select outbox.requested_by from exportbox.outbox where outbox.id = job.export_id offset 0
) as request on true
where exportbox.may_see(request.requested_by);
comment on view exportbox.deliveries is 'One row per mail: each goes to one recipient. Requesters see those of their own exports.';
comment on column exportbox.deliveries.id is 'The mail, which carries it, and its job.';
comment on column exportbox.deliveries.export_id is 'The export that it announces; null for other mails.';
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
comment on column exportbox.deliveries.origin is 'What it is about: export, failure (a notice of exports that died) or digest (for operators).';
grant select on exportbox.deliveries to exportbox_requester, exportbox_operator, exportbox_reader;

create view exportbox.objects with (security_barrier) as -- guard: barrier of objects
select object.export_id, object.part, object.bucket, object.key, object.bytes, object.rows, object.checksum, object.content_type,
    object.filename, object.as_of, object.created_at
from exportbox.object
where pg_has_role(current_user, 'exportbox_reader', 'usage')
    or (select outbox.requested_by from exportbox.outbox where outbox.id = object.export_id) = current_user; -- guard: own objects
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
grant select on exportbox.objects to exportbox_requester, exportbox_operator, exportbox_reader;

create view exportbox.events with (security_barrier) as -- guard: barrier of events
select event.id, event.at, event.export_id, event.job_id, event.kind, event.actor, event.detail
from exportbox.event
where pg_has_role(current_user, 'exportbox_reader', 'usage')
    or (select outbox.requested_by from exportbox.outbox where outbox.id = event.export_id) = current_user -- guard: own events
order by event.id desc;
comment on view exportbox.events is 'The history of what was out of the ordinary.';
comment on column exportbox.events.id is 'Order of writing.';
comment on column exportbox.events.at is 'When.';
comment on column exportbox.events.export_id is 'The export concerned.';
comment on column exportbox.events.job_id is 'The job concerned.';
comment on column exportbox.events.kind is 'What happened.';
comment on column exportbox.events.actor is 'Who did it.';
comment on column exportbox.events.detail is 'One sentence without personal data.';
grant select on exportbox.events to exportbox_requester, exportbox_operator, exportbox_reader;
