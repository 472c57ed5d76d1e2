-- The outbox, which is the only table for applications, and the catalogue of reports that its requests name. All other tables are private to the
-- daemon and read through views.

create function exportbox.new_id() returns uuid
language sql volatile parallel safe
-- RFC 9562 version 7: 48 bits of milliseconds, the version, 12 bits of the millisecond's fraction, then random bits behind the variant.
-- 4096 units in a millisecond: as hexadecimal digits the first twelve are the milliseconds and the next three the fraction.
return (overlay(lpad(to_hex((extract(epoch from clock_timestamp()) * 4096000)::bigint), 15, '0') placing '7' from 13 for 0)
        || right(gen_random_uuid()::text, 17))::uuid;
comment on function exportbox.new_id() is 'A time-ordered id (UUID version 7), in the order of the calls: primary keys grow at one end, and what is inserted first is claimed first.';
grant execute on function exportbox.new_id() to exportbox_requester, exportbox_worker;

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
comment on index exportbox.outbox_idempotency_key is 'Read by the INSERT of a request, by ON CONFLICT and request_export: a requester uses a key once.';
comment on index exportbox.outbox_pkey is 'Read by load_export, the views, cancel, requeue and the foreign keys.';
alter table exportbox.outbox enable row level security;
create policy requester_inserts_own on exportbox.outbox for insert to exportbox_requester with check (requested_by = current_user);
create policy requester_reads_own on exportbox.outbox for select to exportbox_requester using (requested_by = current_user); -- guard: own requests
create policy worker_reads on exportbox.outbox for select to exportbox_worker using (true);
grant insert (id, report, query, params, recipients, format, compression, format_options, filename, idempotency_key, run_at,
    -- guard: writable columns
    not_after, priority, timeout, max_attempts, link_ttl, subject, message, metadata) on exportbox.outbox to exportbox_requester;
-- For RETURNING id and ON CONFLICT (requested_by, idempotency_key).
grant select (id, idempotency_key, requested_by) on exportbox.outbox to exportbox_requester; -- guard: readable columns
grant select on exportbox.outbox to exportbox_worker;

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
comment on index exportbox.report_pkey is 'Read by the door, load_export and the reports view: the newest version of a name, or the one that a request was made with.';
grant select on exportbox.report to exportbox_worker;
