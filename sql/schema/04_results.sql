-- What exports leave behind: stored files, mails, and the history that nobody rewrites.

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
comment on index exportbox.object_key_is_written_once is 'Read by examine_orphans; no two exports own the same key.';
comment on index exportbox.object_pkey is 'Read by load_message, show, relink, the exports and objects views and the cascade from outbox.';
grant select, insert, update, delete on exportbox.object to exportbox_worker;

create table exportbox.message (
    id                uuid not null,
    origin            text not null,
    recipient         text not null,
    status            text not null default 'pending',
    planned_at        timestamptz,
    covers_from       timestamptz,
    covers_until      timestamptz,
    provider          text,
    message_id        text,
    link_expires_at   timestamptz,
    link_cut_by       text,
    error_class       text,
    error             text,
    updated_at        timestamptz not null default now(),
    constraint message_pkey primary key (id),
    constraint message_job_fkey foreign key (id) references exportbox.job (id) on delete cascade,
    constraint message_origin_known check (origin in ('export', 'failure', 'digest')),
    constraint message_of_failures_has_its_instant check ((origin = 'failure') = (planned_at is not null)),
    constraint message_of_a_digest_covers_a_time check (num_nulls(covers_from, covers_until) = case origin when 'digest' then 0 else 2 end),
    constraint message_status_known check (status in ('pending', 'sending', 'unknown', 'accepted', 'delivered', 'bounced',
        'complained', 'rejected', 'suppressed', 'dead', 'cancelled')),
    constraint message_link_cut_known check (link_cut_by in ('credentials', 'object')),
    constraint message_accepted_names_provider check (status not in ('accepted', 'delivered') or provider is not null)
)
-- Stamped before and after its mail, in columns without an index: HOT, when there is room.
with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
comment on table exportbox.message is 'Every mail: one row per recipient, whatever it is about. Its job has the same id.';
comment on column exportbox.message.id is 'Carried by the mail as header and tag; the id of its job.';
comment on column exportbox.message.origin is 'What it is about: export, the link to a file, which is stored before the row is; failure, a notice of exports that died; digest, what operators have to look at.';
comment on column exportbox.message.recipient is 'The address; views mask it.';
comment on column exportbox.message.status is 'sending is stamped before the provider is called, accepted after; unknown is a crash or a lost reply between the two.';
comment on column exportbox.message.planned_at is 'Of origin failure: when it was to be sent at first. The next one to the same recipient is planned a window later.';
comment on column exportbox.message.covers_from is 'Of a digest: what died from then on,';
comment on column exportbox.message.covers_until is 'and before then.';
comment on column exportbox.message.provider is 'ses, smtp or file.';
comment on column exportbox.message.message_id is 'The provider''s id of the mail.';
comment on column exportbox.message.link_expires_at is 'When the mailed link dies. The link itself is never stored.';
comment on column exportbox.message.link_cut_by is 'Why the link dies earlier than asked: the signing credentials or the object''s life.';
comment on column exportbox.message.error_class is 'Class of the last error.';
comment on column exportbox.message.error is 'The last error in our own words.';
comment on column exportbox.message.updated_at is 'Last change of status.';
comment on index exportbox.message_pkey is 'Read by load_message, record_sending, reap and every statement that settles.';
create index message_failure on exportbox.message (lower(recipient), planned_at) where origin = 'failure';
comment on index exportbox.message_failure is 'Read by gather_failures: the last notice of a recipient.';
create unique index message_digest on exportbox.message (covers_until, lower(recipient)) where origin = 'digest';
comment on index exportbox.message_digest is 'An operator gets one digest for a time, whichever process makes it; read by gather_digest.';
grant select, insert, update, delete on exportbox.message to exportbox_worker;

create table exportbox.message_export (
    message_id uuid not null,
    export_id  uuid not null,
    constraint message_export_pkey primary key (message_id, export_id),
    constraint message_export_message_fkey foreign key (message_id) references exportbox.message (id) on delete cascade,
    constraint message_export_export_fkey foreign key (export_id) references exportbox.outbox (id) on delete cascade
);
comment on table exportbox.message_export is 'What a failure notice speaks of.';
comment on column exportbox.message_export.message_id is 'The notice.';
comment on column exportbox.message_export.export_id is 'An export that died.';
comment on index exportbox.message_export_pkey is 'Read by load_message and the notices view; a notice speaks of an export once.';
create index message_export_export on exportbox.message_export (export_id);
comment on index exportbox.message_export_export is 'Read by the cascade from outbox.';
grant select, insert on exportbox.message_export to exportbox_worker;

create function exportbox.jobs_of(id uuid) returns setof uuid
language sql stable
begin atomic
    select job.id from exportbox.job where job.export_id = jobs_of.id
    union all
    select job.id from exportbox.job where job.id = jobs_of.id and job.kind = 'message';
end;
comment on function exportbox.jobs_of(uuid) is 'The job of an export and those of its mails; of a message its job alone.';

create function exportbox.shown_kind(kind text) returns text
language sql immutable parallel safe
return case kind when 'message' then 'delivery' else kind end;
comment on function exportbox.shown_kind(text) is 'The kind of a job as views and filters say it: a message is a delivery.';
grant execute on function exportbox.shown_kind(text) to exportbox_requester, exportbox_operator, exportbox_reader;

create table exportbox.event (
    id        bigint generated always as identity,
    at        timestamptz not null default clock_timestamp(),
    export_id uuid,
    job_id    uuid,
    kind      text not null,
    actor     text not null default exportbox.acting_role(), -- guard: actor
    login     text not null default session_user, -- guard: login
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
comment on index exportbox.event_pkey is 'Read by the events view, which begins with the newest.';
create index event_export on exportbox.event (export_id, id);
comment on index exportbox.event_export is 'Read by show.';
-- Who and when come from the columns' defaults: nobody writes history in another's name.
grant select, insert (export_id, job_id, kind, detail) on exportbox.event to exportbox_worker; -- guard: writable columns of an event
grant usage, select on sequence exportbox.event_id_seq to exportbox_worker;

create function exportbox.is_append_only() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    -- Retention is the owner's: whoever may drop the table may prune it. Updates are exportbox.erase taking an address out.
    if pg_has_role(current_user, (select relowner from pg_class where oid = tg_relid), 'usage') -- guard: owner only
        and (tg_op = 'DELETE' or (tg_op = 'UPDATE' and current_setting('exportbox.erasing', true) = 'on')) then
        return null;
    end if;
    raise exception using errcode = 'EB051', message = format('%I is history: rows are added, and pruned by the owner of the schema', tg_table_name);
end
$$;
comment on function exportbox.is_append_only() is 'Refuses to rewrite history, whatever somebody has been granted.';
create trigger event_is_append_only before update or delete or truncate on exportbox.event -- guard: append only
    for each statement execute function exportbox.is_append_only();
