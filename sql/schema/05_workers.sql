-- The processes that work, and what holds them up: the last drain, the quota of mails, holds and pauses.

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
comment on index exportbox.worker_pkey is 'Read by wait, awake, register_worker, unregister_worker and cancel.';
grant select, insert, update, delete on exportbox.worker to exportbox_worker;

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
comment on index exportbox.last_drain_pkey is 'Read by drained, which writes over the one row.';
grant select, insert, update on exportbox.last_drain to exportbox_worker;

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
comment on index exportbox.mail_quota_pkey is 'Read by record_mail_quota, which writes over the one row.';
grant select, insert, update on exportbox.mail_quota to exportbox_worker;

create table exportbox.control (
    scope       text not null,
    error_class text not null,
    reason      text not null,
    held_at     timestamptz not null default now(),
    held_by     text not null default exportbox.acting_role(),
    probes      integer not null default 0,
    probe_at    timestamptz,
    constraint control_pkey primary key (scope),
    constraint control_scope_known check (scope in ('export', 'message'))
);
comment on table exportbox.control is 'What is on hold, and why. A wrong setting holds its kind of job; nothing is burnt, a probe releases it.';
comment on column exportbox.control.scope is 'The kind of job that is held.';
comment on column exportbox.control.error_class is 'What is wrong.';
comment on column exportbox.control.reason is 'What is wrong and what to do, in our own words.';
comment on column exportbox.control.held_at is 'Since when.';
comment on column exportbox.control.held_by is 'The role that put it on hold.';
comment on column exportbox.control.probes is 'Probes that failed; spaces out the next ones.';
comment on column exportbox.control.probe_at is 'When one job is let through to try; null: only a person releases it.';
comment on index exportbox.control_pkey is 'Read by claim, hold, lift_hold and explain; a kind of job has one hold.';
grant select on exportbox.control to exportbox_operator;
grant select, insert, update, delete on exportbox.control to exportbox_worker;

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
comment on index exportbox.pause_pkey is 'Orders the pauses; every claim brings their numbers back, so that a process sees that one was lifted.';
comment on index exportbox.pause_scope_once is 'Read by claim, pause and resume; a scope is paused once.';
grant select on exportbox.pause to exportbox_worker;
grant usage, select on sequence exportbox.pause_id_seq to exportbox_worker;
