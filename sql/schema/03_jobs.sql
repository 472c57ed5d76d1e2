-- Jobs and their attempts.
-- States are text with a CHECK: a value can be added and removed later, an enum's cannot.

create table exportbox.job (
    id                  uuid not null,
    export_id           uuid,
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
    noticed_at          timestamptz,
    constraint job_pkey primary key (id),
    constraint job_export_fkey foreign key (export_id) references exportbox.outbox (id) on delete cascade,
    constraint job_kind_known check (kind in ('export', 'message')),
    constraint job_of_an_export_is_the_export check (kind <> 'export' or (export_id is not null and export_id = id)),
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
comment on table exportbox.job is 'One row, one side effect: an export stores one object set, a message is one mail to one recipient. Narrow and hot.';
comment on column exportbox.job.id is 'Its subject: the export''s id (outbox.id), or the message''s (message.id). Orders jobs of the same priority and instant.';
comment on column exportbox.job.export_id is 'The export itself, or the one that its mail announces; null for other mails.';
comment on column exportbox.job.kind is 'export or message; views call a message job a delivery.';
comment on column exportbox.job.state is 'pending, running, completed, dead or cancelled. A retry is pending with a later run_at.';
comment on column exportbox.job.run_at is 'Not before this instant: the request''s wish, or the end of a back-off.';
comment on column exportbox.job.not_after is 'Not started by this instant: cancelled with error_class expired.';
comment on column exportbox.job.priority is '0 to 9, lower first.';
comment on column exportbox.job.attempt is 'Attempts that count against max_attempts; a release gives one back.';
comment on column exportbox.job.max_attempts is 'Null: the daemon''s setting.';
comment on column exportbox.job.crashes is 'Leases that expired; at exportbox.crash_limit() the job is dead.';
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
comment on column exportbox.job.noticed_at is 'The recipients of this dead export have been put down for a notice; cleared by requeue.';
comment on index exportbox.job_pkey is 'Read by claim, heartbeat, reap and every statement that settles or operates on a job.';
create index job_due on exportbox.job (kind, priority, run_at, id) where state = 'pending';
comment on index exportbox.job_due is 'Read by claim and next_due.';
create index job_running on exportbox.job (kind, id) where state = 'running';
comment on index exportbox.job_running is 'Read by reap, next_due, places_on_source and the health view; has no lease column, so that heartbeats stay HOT.';
create index job_expiring on exportbox.job (not_after) where state = 'pending' and started_at is null and not_after is not null;
comment on index exportbox.job_expiring is 'Read by expire and next_due.';
create index job_export on exportbox.job (export_id);
comment on index exportbox.job_export is 'Read by jobs_of, the exports, jobs and deliveries views, and the cascade from outbox.';
create index job_history on exportbox.job (report, finished_at) where state = 'completed' and kind = 'export' and report is not null;
comment on index exportbox.job_history is 'Read by expected_time: how long a report took of late.';
create index job_dead on exportbox.job (finished_at) where state = 'dead';
comment on index exportbox.job_dead is 'Read by status, the health and dead views, requeue_where, gather_digest and load_digest.';
create index job_unfinished on exportbox.job (kind, export_id, state) include (id) where state <> 'completed';
comment on index exportbox.job_unfinished is 'Read by the exports and jobs views: what is not over with, newest first, beside any history.';
create index job_cancelled on exportbox.job (finished_at) where state = 'cancelled';
comment on index exportbox.job_cancelled is 'Read by requeue_where.';
create index job_unnoticed on exportbox.job (finished_at) where state = 'dead' and kind = 'export' and noticed_at is null;
comment on index exportbox.job_unnoticed is 'Read by gather_failures.';
create index job_finished on exportbox.job (state, finished_at) where kind = 'export' and finished_at is not null;
comment on index exportbox.job_finished is 'Read by prunable.';
create statistics exportbox.job_kind_and_state (mcv) on kind, state from exportbox.job;
comment on statistics exportbox.job_kind_and_state is 'That few mails are dead does not follow from how many jobs are: keeps the views from reading a whole table for them.';
grant select, insert, update, delete on exportbox.job to exportbox_worker;

create table exportbox.attempt (
    lease_token   uuid not null,
    job_id        uuid not null,
    number        integer not null,
    worker        text not null,
    started_at    timestamptz not null default now(),
    finished_at   timestamptz,
    outcome       text,
    exporter      text,
    backend_pid   integer,
    xact_start    timestamptz,
    source        text,
    more_pids     integer[],
    more_xact_starts timestamptz[],
    bucket        text,
    object_key    text,
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
    constraint attempt_backend_is_whole check (num_nulls(backend_pid, xact_start, source) in (0, 3)),
    constraint attempt_more_backends_are_whole check (cardinality(more_pids) is not distinct from cardinality(more_xact_starts)),
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
comment on column exportbox.attempt.exporter is 'aws_s3 or copy; null for messages.';
comment on column exportbox.attempt.backend_pid is 'The server process that ran the query, on the source.';
comment on column exportbox.attempt.xact_start is 'Start of that process'' transaction, as pg_stat_activity.xact_start on the source has it: together with the pid it names this attempt''s work, and never what the connection serves later.';
comment on column exportbox.attempt.source is 'Name of the source that the query runs on: whoever ends it asks that one.';
comment on column exportbox.attempt.more_pids is 'Those that help it with a file that is exported in slices.';
comment on column exportbox.attempt.more_xact_starts is 'The starts of their transactions, in the same order; join pg_stat_activity by pid and xact_start.';
comment on column exportbox.attempt.bucket is 'Where this attempt may have stored something.';
comment on column exportbox.attempt.object_key is 'The key of its first file; whatever lies beside it, under the lease token, is this attempt''s.';
comment on column exportbox.attempt.upload_id is 'The multipart upload to abort when this attempt loses.';
comment on column exportbox.attempt.swept_at is 'When the query of a losing attempt was last seen ended and what it stored was removed.';
comment on column exportbox.attempt.sweep_after is 'Not swept (again) before this instant; infinity: never again.';
comment on column exportbox.attempt.expected_rows is 'What the source''s planner expects of the query; null for messages, and where it cannot be asked.';
comment on column exportbox.attempt.rows is 'Rows so far, written by heartbeats, final at the end.';
comment on column exportbox.attempt.bytes is 'Bytes stored so far.';
comment on column exportbox.attempt.progress_at is 'When a heartbeat last brought more rows or bytes.';
comment on column exportbox.attempt.error_class is 'Class of this attempt''s error.';
comment on column exportbox.attempt.error is 'This attempt''s error in our own words.';
comment on column exportbox.attempt.error_detail is 'The raw text, which may hold data: operators only.';
comment on index exportbox.attempt_pkey is 'Read by heartbeat, reap and every statement that notes or ends an attempt: each names the lease token.';
comment on index exportbox.attempt_number is 'Read by show, the attempts view and load_digest; a job has one attempt of a number.';
create index attempt_unswept on exportbox.attempt (sweep_after)
    where (object_key is not null or backend_pid is not null) and outcome <> 'completed' and sweep_after < 'infinity';
comment on index exportbox.attempt_unswept is 'Read by unswept and next_due.';
grant select, insert, update, delete on exportbox.attempt to exportbox_worker;
