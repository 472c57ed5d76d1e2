-- The tables. Only exportbox.outbox is for applications; the rest is private to the daemon and read through views (V4).
-- States are text with a CHECK: a value can be added and removed later, an enum's cannot.

create function exportbox.new_id() returns uuid
language sql volatile parallel safe
-- RFC 9562 version 7: 48 bits of milliseconds, then random bits, with version and variant set.
return encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                from 1 for 6),
            52, 1), 53, 1),
        'hex')::uuid;
comment on function exportbox.new_id() is 'A time-ordered id (UUID version 7), so that the primary key of the outbox grows at one end.';

create function exportbox.acting_role() returns text
language sql stable
return coalesce(nullif(current_setting('role'), 'none'), session_user);
comment on function exportbox.acting_role() is 'Who acts: the role of SET ROLE, else the login. Inside a SECURITY DEFINER function, where current_user is its owner, only this tells.';

create table exportbox.report (
    name        text not null,
    version     integer not null,
    description text,
    query       text not null,
    params      jsonb not null default '{}',
    run_as      text not null,
    requesters  text[],
    formats     text[],
    max_rows    bigint,
    max_bytes   bigint,
    timeout     interval,
    recipient_domains text[],
    max_recipients    integer,
    object_life interval,
    kms_key     text,
    prefix      text,
    source      text not null default 'default',
    split_key   text,
    created_at  timestamptz not null default now(),
    created_by  text not null default exportbox.acting_role(),
    disabled_at timestamptz,
    constraint report_pkey primary key (name, version),
    constraint report_name_is_plain check (name ~ '^[a-z][a-z0-9_.-]{0,62}$'),
    constraint report_params_is_object check (jsonb_typeof(params) = 'object'),
    constraint report_limits check (max_rows >= 1 and max_bytes >= 1 and timeout > interval '0' and max_recipients >= 0
        and object_life > interval '0')
);
comment on table exportbox.report is 'The catalogue: named, versioned queries written by trusted authors. A request names a report; its values are data.';
comment on column exportbox.report.name is 'What a request writes into outbox.report.';
comment on column exportbox.report.version is 'Counts up with each registration of the same name; a request keeps the version it was made with.';
comment on column exportbox.report.description is 'For people who look for a report.';
comment on column exportbox.report.query is 'One SELECT. Reads its parameters with exportbox.param(''name'').';
comment on column exportbox.report.params is 'Declared parameters: {"month": {"type": "date", "required": true}}.';
comment on column exportbox.report.run_as is 'The role whose rights the query has (SET LOCAL ROLE).';
comment on column exportbox.report.requesters is 'Roles whose members may request it; null: every member of exportbox_requester.';
comment on column exportbox.report.formats is 'Formats that a request may ask for; null: all.';
comment on column exportbox.report.max_rows is 'An export with more data rows than this dies.';
comment on column exportbox.report.max_bytes is 'An export whose stored file is larger than this dies.';
comment on column exportbox.report.timeout is 'The longest one attempt may take, whatever the request asks for.';
comment on column exportbox.report.recipient_domains is 'Domains of addresses that may get a mail: example.com is that domain alone, *.example.com every one below it; null: all.';
comment on column exportbox.report.max_recipients is 'Most addresses of one request; 0: files only; null: 50, as everywhere.';
comment on column exportbox.report.object_life is 'Age at which the bucket deletes the file (a lifecycle rule on the prefix); no link promises more.';
comment on column exportbox.report.kms_key is 'The KMS key that S3 encrypts the file with; null: the bucket''s own setting.';
comment on column exportbox.report.prefix is 'Follows the daemon''s prefix in the keys of this report''s files.';
comment on column exportbox.report.source is 'The source that the query runs on: default is EXPORTBOX_SOURCE_URL, others are named in EXPORTBOX_SOURCES.';
comment on column exportbox.report.split_key is 'The column of the query by whose ranges several backends export one file, in its order; ctid: by ranges of the table''s blocks; null: one backend.';
comment on column exportbox.report.created_at is 'When this version was registered.';
comment on column exportbox.report.created_by is 'Who registered this version.';
comment on column exportbox.report.disabled_at is 'Set: this version takes no new requests.';

create table exportbox.outbox (
    id              uuid not null default exportbox.new_id(),
    report          text,
    query           text,
    params          jsonb not null default '{}',
    recipients      text[] not null default '{}',
    format          text not null default 'csv',
    compression     text not null default 'none',
    format_options  jsonb not null default '{}',
    filename        text,
    idempotency_key text,
    run_at          timestamptz not null default now(),
    not_after       timestamptz,
    priority        smallint not null default 5,
    timeout         interval,
    max_attempts    smallint,
    link_ttl        interval,
    subject         text,
    message         text,
    metadata        jsonb not null default '{}',
    requested_by    text not null default current_user,
    requested_at    timestamptz not null default now(),
    constraint outbox_pkey primary key (id),
    constraint outbox_idempotency_key unique (requested_by, idempotency_key)
);
comment on table exportbox.outbox is 'The door: insert a row, get a file. Rows are facts about the request and never change.';
comment on column exportbox.outbox.id is 'The export''s id: given by the application or generated, time-ordered.';
comment on column exportbox.outbox.report is 'Name in the catalogue exportbox.report. Either this or query.';
comment on column exportbox.outbox.query is 'Ad-hoc SQL, run with the requester''s rights; only for members of exportbox_adhoc.';
comment on column exportbox.outbox.params is 'Values for the declared parameters, a JSON object.';
comment on column exportbox.outbox.recipients is 'Up to 50 e-mail addresses; empty when only the file is wanted. Duplicates collapse.';
comment on column exportbox.outbox.format is 'csv, text or jsonl.';
comment on column exportbox.outbox.compression is 'none or gzip.';
comment on column exportbox.outbox.format_options is 'COPY''s options by name (header, delimiter, null, quote, escape, force_quote, encoding) and formula_guard.';
comment on column exportbox.outbox.filename is 'What the downloader''s browser saves.';
comment on column exportbox.outbox.idempotency_key is 'Unique per requesting role: a second insert is refused (23505), ON CONFLICT DO NOTHING works.';
comment on column exportbox.outbox.run_at is 'Not before this instant.';
comment on column exportbox.outbox.not_after is 'Give up if not started by this instant.';
comment on column exportbox.outbox.priority is '0 to 9, lower first.';
comment on column exportbox.outbox.timeout is 'The longest one attempt may take; default: the daemon''s EXPORTBOX_TIMEOUT.';
comment on column exportbox.outbox.max_attempts is 'Attempts before the job is dead; default: the daemon''s setting.';
comment on column exportbox.outbox.link_ttl is 'How long the link shall work, 1 minute to 7 days; default: EXPORTBOX_LINK_TTL.';
comment on column exportbox.outbox.subject is 'Subject of the mail.';
comment on column exportbox.outbox.message is 'A few plain sentences for the mail.';
comment on column exportbox.outbox.metadata is 'What the application wants back; exportbox does not read it.';
comment on column exportbox.outbox.requested_by is 'The role that inserted the row, stamped by trigger.';
comment on column exportbox.outbox.requested_at is 'Start of the inserting transaction, stamped by trigger.';

create table exportbox.job (
    id                  bigint generated by default as identity,
    export_id           uuid not null,
    kind                text not null,
    state               text not null default 'pending',
    run_at              timestamptz not null default now(),
    not_after           timestamptz,
    priority            smallint not null default 5,
    attempt             smallint not null default 0,
    max_attempts        smallint,
    crashes             smallint not null default 0,
    leases              integer not null default 0,
    timeout             interval,
    report              text,
    report_version      integer,
    source              text,
    params              jsonb,
    lease_token         uuid,
    lease_expires_at    timestamptz,
    deadline_at         timestamptz,
    worker              text,
    cancel_requested_at timestamptz,
    error_class         text,
    error               text,
    created_at          timestamptz not null default now(),
    started_at          timestamptz,
    finished_at         timestamptz,
    constraint job_pkey primary key (id),
    constraint job_export_fkey foreign key (export_id) references exportbox.outbox (id) on delete cascade,
    constraint job_kind_known check (kind in ('export', 'delivery')),
    constraint job_state_known check (state in ('pending', 'running', 'completed', 'dead', 'cancelled')),
    constraint job_lease_iff_running check (
        (state = 'running') = (lease_token is not null)
        and num_nulls(lease_token, lease_expires_at, deadline_at, worker) in (0, 4)),
    constraint job_finished_iff_final check ((state in ('completed', 'dead', 'cancelled')) = (finished_at is not null)),
    constraint job_dead_says_why check (state <> 'dead' or (error_class is not null and error is not null)),
    constraint job_counters_count_up check (attempt >= 0 and crashes >= 0 and leases >= 0),
    constraint job_cancel_is_for_running check (cancel_requested_at is null or state in ('running', 'cancelled'))
)
-- Room in the page for the versions that heartbeats make: they stay HOT. Dead entries at the low end of job_due and job_running are what a look
-- from the start pays for, so they are vacuumed away early, however long the history has grown.
with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
comment on table exportbox.job is 'One row, one side effect: an export stores one object set, a delivery mails one recipient. Narrow and hot.';
comment on column exportbox.job.id is 'Orders jobs of the same priority and instant.';
comment on column exportbox.job.export_id is 'The request this job serves.';
comment on column exportbox.job.kind is 'export or delivery.';
comment on column exportbox.job.state is 'pending, running, completed, dead or cancelled. A retry is pending with a later run_at.';
comment on column exportbox.job.run_at is 'Not before this instant: the request''s wish, or the end of a back-off.';
comment on column exportbox.job.not_after is 'Not started by this instant: cancelled with error_class expired.';
comment on column exportbox.job.priority is '0 to 9, lower first.';
comment on column exportbox.job.attempt is 'Attempts that count against max_attempts; a release gives one back.';
comment on column exportbox.job.max_attempts is 'Null: the daemon''s setting.';
comment on column exportbox.job.crashes is 'Leases that expired; at three the job is dead.';
comment on column exportbox.job.leases is 'Leases ever taken: numbers the attempts.';
comment on column exportbox.job.timeout is 'For one attempt: the request''s wish or the report''s ceiling, the shorter; null: the daemon''s setting.';
comment on column exportbox.job.report is 'The report''s name, for a claim to know what is paused; null: ad hoc.';
comment on column exportbox.job.report_version is 'The version of the report when the request was made.';
comment on column exportbox.job.source is 'Of an export: the source that its query runs on; null: default.';
comment on column exportbox.job.params is 'The values of a report''s parameters as their types write them, read in the requester''s own INSERT, with defaults; null: ad hoc.';
comment on column exportbox.job.lease_token is 'Made new by each claim; every write of a worker names it.';
comment on column exportbox.job.lease_expires_at is 'The worker is alive until then, moved by heartbeats.';
comment on column exportbox.job.deadline_at is 'The attempt has had enough time, never moved.';
comment on column exportbox.job.worker is 'The process that holds the lease (exportbox.worker.id).';
comment on column exportbox.job.cancel_requested_at is 'Read by the heartbeat of the worker that runs the job.';
comment on column exportbox.job.error_class is 'Class of the last error; stays when a later attempt succeeds, cleared by requeue.';
comment on column exportbox.job.error is 'The last error in our own words; never data of the query, never an address.';
comment on column exportbox.job.created_at is 'When the job came to be.';
comment on column exportbox.job.started_at is 'First claim.';
comment on column exportbox.job.finished_at is 'Set exactly in the final states.';

create index job_due on exportbox.job (kind, priority, run_at, id) where state = 'pending';
comment on index exportbox.job_due is 'Read by claim and next_due.';
create index job_running on exportbox.job (kind, id) where state = 'running';
comment on index exportbox.job_running is 'Read by reap, next_due, places_on_source and the health view; has no lease column, so that heartbeats stay HOT.';
create index job_expiring on exportbox.job (not_after) where state = 'pending' and started_at is null and not_after is not null;
comment on index exportbox.job_expiring is 'Read by expire and next_due.';
create index job_export on exportbox.job (export_id);
comment on index exportbox.job_export is 'Read by the exports view, cancel, requeue and the cascade from outbox.';
create index job_history on exportbox.job (report, finished_at) where state = 'completed' and kind = 'export' and report is not null;
comment on index exportbox.job_history is 'Read by expected_time: how long a report took of late.';
create index job_dead on exportbox.job (finished_at) where state = 'dead';
comment on index exportbox.job_dead is 'Read by status and the health view.';
create index job_unfinished on exportbox.job (kind, export_id, state) include (id) where state <> 'completed';
create statistics exportbox.job_kind_and_state (mcv) on kind, state from exportbox.job;
comment on statistics exportbox.job_kind_and_state is 'That few mails are dead does not follow from how many jobs are: keeps the views from reading a whole table for them.';
comment on index exportbox.job_unfinished is 'Read by the exports and jobs views: what is not over with, newest first, beside any history.';

create table exportbox.attempt (
    lease_token   uuid not null,
    job_id        bigint not null,
    number        integer not null,
    worker        text not null,
    started_at    timestamptz not null default now(),
    finished_at   timestamptz,
    outcome       text,
    exporter      text,
    backend_pid   integer,
    backend_start timestamptz,
    more_pids     integer[],
    more_starts   timestamptz[],
    bucket        text,
    object_key text,
    upload_id     text,
    swept_at      timestamptz,
    sweep_after   timestamptz not null default '-infinity',
    expected_rows bigint,
    rows          bigint,
    bytes         bigint,
    progress_at   timestamptz,
    error_class   text,
    error         text,
    error_detail  text,
    constraint attempt_pkey primary key (lease_token),
    constraint attempt_number unique (job_id, number),
    constraint attempt_job_fkey foreign key (job_id) references exportbox.job (id) on delete cascade,
    constraint attempt_outcome_known check (
        outcome in ('completed', 'retried', 'buried', 'released', 'cancelled', 'reaped', 'erased')),
    constraint attempt_closed_with_outcome check ((finished_at is null) = (outcome is null)),
    constraint attempt_backend_is_whole check (num_nulls(backend_pid, backend_start) in (0, 2)),
    constraint attempt_more_backends_are_whole check (cardinality(more_pids) is not distinct from cardinality(more_starts)),
    constraint attempt_store_is_whole check (num_nulls(bucket, object_key) in (0, 2))
)
-- Each attempt is written to three to five times in its short life, and never again.
with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
comment on table exportbox.attempt is 'One row per lease: opened by the claim, closed by whatever ends the lease.';
comment on column exportbox.attempt.lease_token is 'The lease that this attempt held.';
comment on column exportbox.attempt.job_id is 'The job that was attempted.';
comment on column exportbox.attempt.number is 'Counts the leases of the job from 1.';
comment on column exportbox.attempt.worker is 'The process that held the lease.';
comment on column exportbox.attempt.started_at is 'The claim.';
comment on column exportbox.attempt.finished_at is 'The end of the lease.';
comment on column exportbox.attempt.outcome is 'completed, retried, buried, released, cancelled or reaped; erased: completed, and its file removed when its only recipient was erased.';
comment on column exportbox.attempt.exporter is 'aws_s3 or copy; null for deliveries.';
comment on column exportbox.attempt.backend_pid is 'The server process that ran the query, on the source.';
comment on column exportbox.attempt.backend_start is 'Start of that process'' transaction: together with the pid it names this attempt''s work, and never what the connection serves later.';
comment on column exportbox.attempt.more_pids is 'Those that help it with a file that is exported in slices.';
comment on column exportbox.attempt.more_starts is 'The starts of their transactions, in the same order.';
comment on column exportbox.attempt.bucket is 'Where this attempt may have stored something.';
comment on column exportbox.attempt.object_key is 'The key of its first file; whatever lies beside it, under the lease token, is this attempt''s.';
comment on column exportbox.attempt.upload_id is 'The multipart upload to abort when this attempt loses.';
comment on column exportbox.attempt.swept_at is 'When the query of a losing attempt was last seen ended and what it stored was removed.';
comment on column exportbox.attempt.sweep_after is 'Not swept (again) before this instant; infinity: never again.';
comment on column exportbox.attempt.expected_rows is 'What the source''s planner expects of the query; null for deliveries, and where it cannot be asked.';
comment on column exportbox.attempt.rows is 'Rows so far, written by heartbeats, final at the end.';
comment on column exportbox.attempt.bytes is 'Bytes stored so far.';
comment on column exportbox.attempt.progress_at is 'When a heartbeat last brought more rows or bytes.';
comment on column exportbox.attempt.error_class is 'Class of this attempt''s error.';
comment on column exportbox.attempt.error is 'This attempt''s error in our own words.';
comment on column exportbox.attempt.error_detail is 'The raw text, which may hold data: operators only.';
create index attempt_unswept on exportbox.attempt (sweep_after)
    where (object_key is not null or backend_pid is not null) and outcome <> 'completed' and sweep_after < 'infinity';
comment on index exportbox.attempt_unswept is 'Read by unswept and next_due.';

create table exportbox.object (
    export_id     uuid not null,
    part          integer not null,
    lease_token   uuid not null,
    bucket        text not null,
    key           text not null,
    bytes         bigint not null,
    rows          bigint,
    checksum      text,
    content_type  text not null,
    filename      text not null,
    as_of         timestamptz not null,
    created_at    timestamptz not null default now(),
    constraint object_pkey primary key (export_id, part),
    constraint object_key_is_written_once unique (bucket, key),
    constraint object_export_fkey foreign key (export_id) references exportbox.outbox (id) on delete cascade,
    constraint object_counts check (part >= 1 and bytes >= 0 and rows >= 0)
);
comment on table exportbox.object is 'The manifest: one row per stored and verified file. A row here makes the object visible.';
comment on column exportbox.object.export_id is 'The export whose result this is.';
comment on column exportbox.object.part is 'From 1; the file is the parts in this order, end to end.';
comment on column exportbox.object.lease_token is 'The attempt that stored it.';
comment on column exportbox.object.bucket is 'The bucket.';
comment on column exportbox.object.key is 'prefix / export id / lease token / filename.';
comment on column exportbox.object.bytes is 'Size as the store reported it.';
comment on column exportbox.object.rows is 'Data rows, the header not counted; on part 1, for all parts.';
comment on column exportbox.object.checksum is 'sha256:… of the stored bytes where the daemon saw them, null for aws_s3.';
comment on column exportbox.object.content_type is 'What the download link answers.';
comment on column exportbox.object.filename is 'What the download link tells the browser to save.';
comment on column exportbox.object.as_of is 'The instant whose data this is: the snapshot, on a replica its last replayed transaction.';
comment on column exportbox.object.created_at is 'When the manifest was stored.';

create table exportbox.delivery (
    job_id            bigint not null,
    id                uuid not null default gen_random_uuid(),
    export_id         uuid not null,
    recipient         text not null,
    status            text not null default 'pending',
    provider          text,
    message_id        text,
    link_expires_at   timestamptz,
    link_cut_by       text,
    error_class       text,
    error             text,
    updated_at        timestamptz not null default now(),
    constraint delivery_pkey primary key (job_id),
    constraint delivery_id unique (id),
    constraint delivery_job_fkey foreign key (job_id) references exportbox.job (id) on delete cascade,
    constraint delivery_status_known check (status in ('pending', 'sending', 'unknown', 'accepted', 'delivered', 'bounced',
        'complained', 'rejected', 'suppressed', 'dead', 'cancelled')),
    constraint delivery_link_cut_known check (link_cut_by in ('credentials', 'object')),
    constraint delivery_accepted_names_provider check (status not in ('accepted', 'delivered') or provider is not null)
)
-- Stamped before and after its mail, in columns without an index: HOT, when there is room.
with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
comment on table exportbox.delivery is 'One row per recipient. A row exists only when its export''s manifest does.';
comment on column exportbox.delivery.job_id is 'The job that mails it.';
comment on column exportbox.delivery.id is 'Carried by the mail as header and tag.';
comment on column exportbox.delivery.export_id is 'The export that it announces.';
comment on column exportbox.delivery.recipient is 'The address; views mask it.';
comment on column exportbox.delivery.status is 'sending is stamped before the provider is called, accepted after; unknown is a crash or a lost reply between the two.';
comment on column exportbox.delivery.provider is 'ses, smtp or file.';
comment on column exportbox.delivery.message_id is 'The provider''s id of the message.';
comment on column exportbox.delivery.link_expires_at is 'When the mailed link dies. The link itself is never stored.';
comment on column exportbox.delivery.link_cut_by is 'Why the link dies earlier than asked: the signing credentials or the object''s life.';
comment on column exportbox.delivery.error_class is 'Class of the last error.';
comment on column exportbox.delivery.error is 'The last error in our own words.';
comment on column exportbox.delivery.updated_at is 'Last change of status.';
create index delivery_export on exportbox.delivery (export_id);
comment on index exportbox.delivery_export is 'Read by the exports and deliveries views and requeue.';

create table exportbox.event (
    id        bigint generated always as identity,
    at        timestamptz not null default clock_timestamp(),
    export_id uuid,
    job_id    bigint,
    kind      text not null,
    actor     text not null default exportbox.acting_role(),
    login     text not null default session_user,
    detail    text,
    constraint event_pkey primary key (id)
);
comment on table exportbox.event is 'Append-only history of what was out of the ordinary; the ordinary is in attempt.';
comment on column exportbox.event.id is 'Order of writing.';
comment on column exportbox.event.at is 'Wall clock of the database.';
comment on column exportbox.event.export_id is 'The export concerned, if one.';
comment on column exportbox.event.job_id is 'The job concerned, if one.';
comment on column exportbox.event.kind is 'A past participle or a noun: requeued, cancel_requested, reaped, unknown, link_cut, held, …';
comment on column exportbox.event.actor is 'The role that acted.';
comment on column exportbox.event.login is 'The login that it acted over: the same, unless somebody had become the role.';
comment on column exportbox.event.detail is 'One sentence without personal data.';
create index event_export on exportbox.event (export_id, id);
comment on index exportbox.event_export is 'Read by show.';

create table exportbox.control (
    scope       text not null,
    error_class text not null,
    reason      text not null,
    held_at     timestamptz not null default now(),
    held_by     text not null default exportbox.acting_role(),
    probes      integer not null default 0,
    probe_at    timestamptz,
    constraint control_pkey primary key (scope),
    constraint control_scope_known check (scope in ('export', 'delivery'))
);
comment on table exportbox.control is 'What is on hold, and why. A wrong setting holds its kind of job; nothing is burnt, a probe releases it.';
comment on column exportbox.control.scope is 'The kind of job that is held.';
comment on column exportbox.control.error_class is 'What is wrong.';
comment on column exportbox.control.reason is 'What is wrong and what to do, in our own words.';
comment on column exportbox.control.held_at is 'Since when.';
comment on column exportbox.control.held_by is 'The role that put it on hold.';
comment on column exportbox.control.probes is 'Probes that failed; spaces out the next ones.';
comment on column exportbox.control.probe_at is 'When one job is let through to try; null: only a person releases it.';

create table exportbox.pause (
    id        bigint generated always as identity,
    scope     text not null,
    reason    text,
    paused_at timestamptz not null default now(),
    paused_by text not null default exportbox.acting_role(),
    constraint pause_pkey primary key (id),
    constraint pause_scope_once unique (scope),
    constraint pause_scope_known check (scope ~ '^(all|exports|deliveries|report:.+|source:.+)$'),
    constraint pause_reason_names_nobody check (reason !~ '@')
);
comment on table exportbox.pause is 'What people have paused. Nothing of it is started until they resume it; what runs goes on.';
comment on column exportbox.pause.id is 'Never used twice: a process that misses one that it knew looks at everything again.';
comment on column exportbox.pause.scope is 'all, exports, deliveries, report:NAME or source:NAME.';
comment on column exportbox.pause.reason is 'Why, in the operator''s words; no addresses.';
comment on column exportbox.pause.paused_at is 'Since when.';
comment on column exportbox.pause.paused_by is 'The role that paused it.';

create table exportbox.worker (
    id            text not null,
    channel       text not null,
    version       text not null,
    slots         integer not null,
    source_slots  integer,
    listener_pid  integer,
    started_at    timestamptz not null default now(),
    seen_at       timestamptz not null default now(),
    waiting_since timestamptz,
    waiting_until timestamptz,
    constraint worker_pkey primary key (id)
)
-- A handful of rows, read by each insert of a request and updated all the time: vacuumed as soon as there is anything to vacuum.
with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
comment on table exportbox.worker is 'The processes that work, and which of them sleep. A hint: no lease depends on it.';
comment on column exportbox.worker.id is 'host:pid:random, made new at each start.';
comment on column exportbox.worker.channel is 'The NOTIFY channel that wakes this process.';
comment on column exportbox.worker.version is 'Version of the program.';
comment on column exportbox.worker.slots is 'Exports that it runs at once.';
comment on column exportbox.worker.source_slots is 'Exports that it lets run at once over all processes; null: no limit.';
comment on column exportbox.worker.listener_pid is 'The backend of its LISTEN; when that is gone nobody sleeps there. Null: it only polls.';
comment on column exportbox.worker.started_at is 'Start of the process.';
comment on column exportbox.worker.seen_at is 'Last sign of life.';
comment on column exportbox.worker.waiting_since is 'Asleep since then; null: awake, needs no wake.';
comment on column exportbox.worker.waiting_until is 'Wakes by itself then.';

create table exportbox.last_drain (
    only_one boolean not null default true,
    ended_at timestamptz not null default now(),
    ended    text not null,
    claimed  bigint not null,
    exported bigint not null,
    mailed   bigint not null,
    dead     bigint not null,
    due_left bigint not null,
    max_runtime  interval,
    source_slots integer,
    constraint last_drain_pkey primary key (only_one),
    constraint last_drain_is_one_row check (only_one),
    constraint last_drain_ended_known check (ended in ('drained', 'budget', 'dead', 'on_hold'))
);
comment on table exportbox.last_drain is 'How the last drain ended: one row, written over by each.';
comment on column exportbox.last_drain.only_one is 'Keeps it one row.';
comment on column exportbox.last_drain.ended_at is 'When it ended.';
comment on column exportbox.last_drain.ended is 'drained, budget, dead or on_hold: its exit codes 0, 10, 11 and 2.';
comment on column exportbox.last_drain.claimed is 'Jobs that it took.';
comment on column exportbox.last_drain.exported is 'Files that it stored.';
comment on column exportbox.last_drain.mailed is 'Mails that the provider took.';
comment on column exportbox.last_drain.dead is 'Jobs that died in it.';
comment on column exportbox.last_drain.due_left is 'Jobs that could have started when it ended.';
comment on column exportbox.last_drain.max_runtime is 'Its --max-runtime; null: no limit.';
comment on column exportbox.last_drain.source_slots is 'Exports that it let run at once over all processes; null: no limit.';

create table exportbox.mail_quota (
    only_one   boolean not null default true,
    asked_at   timestamptz not null default now(),
    most_a_day bigint,
    sent       bigint not null,
    constraint mail_quota_pkey primary key (only_one),
    constraint mail_quota_is_one_row check (only_one)
);
comment on table exportbox.mail_quota is 'What SES said of its daily quota when it was last asked: one row. None: it was never asked, or mails go by SMTP.';
comment on column exportbox.mail_quota.only_one is 'Keeps it one row.';
comment on column exportbox.mail_quota.asked_at is 'When it was asked.';
comment on column exportbox.mail_quota.most_a_day is 'Recipients in 24 hours; null: no limit.';
comment on column exportbox.mail_quota.sent is 'Recipients in the 24 hours before it was asked, those of other programs of the account among them.';
