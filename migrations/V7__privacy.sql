-- Erasing a person, the legal hold that forbids it, and a history that nobody rewrites.

create table exportbox.privacy_key (
    only_row boolean not null default true,
    key      bytea not null default sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
    constraint privacy_key_pkey primary key (only_row),
    constraint privacy_key_is_one check (only_row)
);
comment on table exportbox.privacy_key is 'The key of this schema''s hashes of addresses; only its owner reads it. Without it nobody can try addresses against the hashes.';
comment on column exportbox.privacy_key.only_row is 'There is one.';
comment on column exportbox.privacy_key.key is '256 bits, made with the schema.';
insert into exportbox.privacy_key default values;

create table exportbox.erasure (
    id           bigint generated always as identity,
    at           timestamptz not null default now(),
    actor        text not null default exportbox.acting_role(),
    address_hash text not null,
    reason       text,
    counts       jsonb not null,
    constraint erasure_pkey primary key (id),
    constraint erasure_reason_names_nobody check (reason !~ '@')
);
comment on table exportbox.erasure is 'One row per erased address: what is left of it is a keyed hash.';
comment on column exportbox.erasure.id is 'Order of writing.';
comment on column exportbox.erasure.at is 'When.';
comment on column exportbox.erasure.actor is 'The role that erased.';
comment on column exportbox.erasure.address_hash is 'exportbox.address_hash of the address: answers whether a given address was erased, and tells no address.';
comment on column exportbox.erasure.reason is 'Why, in the operator''s words, such as a ticket; no addresses.';
comment on column exportbox.erasure.counts is 'How much was touched.';

create table exportbox.erased_export (
    export_id  uuid not null,
    erasure_id bigint not null,
    is_stopped boolean not null,
    constraint erased_export_pkey primary key (export_id, erasure_id),
    constraint erased_export_export_fkey foreign key (export_id) references exportbox.outbox (id) on delete cascade,
    constraint erased_export_erasure_fkey foreign key (erasure_id) references exportbox.erasure (id)
);
comment on table exportbox.erased_export is 'The requests that an erased address was taken out of.';
comment on column exportbox.erased_export.export_id is 'The request.';
comment on column exportbox.erased_export.erasure_id is 'The erasure.';
comment on column exportbox.erased_export.is_stopped is 'It was for this address alone, or was about it and not made yet: it is never made again.';

create table exportbox.legal_hold (
    id           bigint generated always as identity,
    export_id    uuid,
    address_hash text,
    reason       text not null,
    placed_at    timestamptz not null default now(),
    placed_by    text not null default exportbox.acting_role(),
    constraint legal_hold_pkey primary key (id),
    constraint legal_hold_is_on_one_thing check (num_nonnulls(export_id, address_hash) = 1),
    constraint legal_hold_reason_names_nobody check (reason !~ '@'),
    -- Without a cascade: what is held cannot be pruned either.
    constraint legal_hold_export_fkey foreign key (export_id) references exportbox.outbox (id)
);
comment on table exportbox.legal_hold is 'What must be kept for now: an address is not erased, an export neither erased nor deleted.';
comment on column exportbox.legal_hold.id is 'For lifting it.';
comment on column exportbox.legal_hold.export_id is 'A request, with all that hangs on it; or';
comment on column exportbox.legal_hold.address_hash is 'exportbox.address_hash of an address that must not be erased.';
comment on column exportbox.legal_hold.reason is 'Why; no addresses.';
comment on column exportbox.legal_hold.placed_at is 'When it was placed.';
comment on column exportbox.legal_hold.placed_by is 'Who placed it.';
create index legal_hold_export on exportbox.legal_hold (export_id) where export_id is not null;
comment on index exportbox.legal_hold_export is 'Read by erase and by the check when a request is deleted.';

create function exportbox.is_append_only() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    -- Retention is the owner's: whoever may drop the table may prune it. Updates are exportbox.erase taking an address out.
    if pg_has_role(current_user, (select relowner from pg_class where oid = tg_relid), 'usage')
        and (tg_op = 'DELETE' or (tg_op = 'UPDATE' and current_setting('exportbox.erasing', true) = 'on')) then
        return null;
    end if;
    raise exception using errcode = 'EB051', message = format('%I is history: rows are added, and pruned by the owner of the schema', tg_table_name);
end
$$;
comment on function exportbox.is_append_only() is 'Refuses to rewrite history, whatever somebody has been granted.';
create trigger event_is_append_only before update or delete or truncate on exportbox.event
    for each statement execute function exportbox.is_append_only();
create trigger erasure_is_append_only before update or delete or truncate on exportbox.erasure
    for each statement execute function exportbox.is_append_only();

create function exportbox.outbox_pruned() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into exportbox.event (export_id, kind, detail)
    select gone.id, 'pruned', format('requested by %I at %s', gone.requested_by, to_char(gone.requested_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
    from gone;
    return null;
end
$$;
comment on function exportbox.outbox_pruned() is 'Leaves who requested what in the history when a request is deleted.';
create trigger outbox_pruned after delete on exportbox.outbox referencing old table as gone
    for each statement execute function exportbox.outbox_pruned();

create function exportbox.recipients_now(export_ids uuid[]) returns table (export_id uuid, recipients text[])
language sql volatile security definer set search_path = pg_catalog, pg_temp rows 100
as $$ select outbox.id, outbox.recipients from exportbox.outbox where outbox.id = any (recipients_now.export_ids) and outbox.recipients <> '{}' $$;
comment on function exportbox.recipients_now(uuid[]) is 'The recipients as this moment has them: volatile, so that a statement that had to wait sees what was erased meanwhile.';

create function exportbox.is_erased(export_id uuid) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select exists (select from exportbox.erased_export where erased_export.export_id = is_erased.export_id) $$;
comment on function exportbox.is_erased(uuid) is 'Whether an address was taken out of a request, as this moment has it: volatile, for statements that had to wait for that.';

create function exportbox.address_hash(address text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    -- Nested as in HMAC, so that the hash of one text says nothing about that of a longer one.
    select encode(sha256(key || sha256(key || convert_to(lower(btrim(address)), 'UTF8'))), 'hex') from exportbox.privacy_key
$$;
comment on function exportbox.address_hash(text) is 'The keyed hash of an address, whatever its case: exportbox.erasure and legal_hold hold nothing else of it.';

create function exportbox.address_pattern(address text, is_wide boolean) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    -- An address that is the end of a longer one is another's: joann@, mary-ann@. In names of files and keys words are glued together, and
    -- too much is better than too little there.
    -- Before an address may stand what JSON writes for a line break, and dots that no address begins with; after it a word in hyphens, if no
    -- domain comes of it.
    select '(?:' || case when is_wide then '(?<![A-Za-z0-9.+])' else '(?<![A-Za-z0-9.+_-])' end
        || '|(?<=[^\\](?:\\\\)*\\[bfnrt])|(?<=\\u00[01][0-9a-f])|(?<=[^A-Za-z0-9+_-][.])|(?<=^[.]))'
        || regexp_replace(address, '([^A-Za-z0-9])', '\\\1', 'g')
        || case when is_wide then '(?![A-Za-z0-9])' else '(?![A-Za-z0-9]|-[A-Za-z0-9-]*\.[A-Za-z0-9]|\.[A-Za-z0-9])' end
$$;
comment on function exportbox.address_pattern(text, boolean) is 'A regular expression that finds an address in text.';

create function exportbox.assert_read_committed() returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    -- An older snapshot would not see what a lock was waited for.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception using errcode = 'EB072', message = 'this needs a transaction of its own, in READ COMMITTED', hint = 'Run it outside of a REPEATABLE READ or SERIALIZABLE transaction.';
    end if;
end
$$;
comment on function exportbox.assert_read_committed() is 'For functions that decide by what others commit while they wait for a lock.';

create function exportbox.place_legal_hold(reason text, export_id uuid default null, address text default null) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    hold bigint;
begin
    if num_nonnulls(place_legal_hold.export_id, place_legal_hold.address) <> 1 or coalesce(place_legal_hold.reason, '@') ~ '@' then
        raise exception using errcode = 'EB072', message = 'a legal hold is on one export or one address, and has a reason without addresses',
            hint = 'For example: select exportbox.place_legal_hold(''case 4711'', address => ''ann@example.com'');';
    end if;
    perform exportbox.assert_read_committed();
    -- Either a hold is seen by an erasure, or it comes after it.
    perform pg_advisory_xact_lock(hashtext('exportbox'), hashtext('hold'));
    insert into exportbox.legal_hold (export_id, address_hash, reason)
    values (place_legal_hold.export_id, exportbox.address_hash(place_legal_hold.address), place_legal_hold.reason)
    returning legal_hold.id into hold;
    insert into exportbox.event (export_id, kind, detail) values (place_legal_hold.export_id, 'legal_hold_placed', format('legal hold %s', hold));
    return hold;
end
$$;
comment on function exportbox.place_legal_hold(text, uuid, text) is 'Keep an export from being erased and deleted, or an address from being erased. Returns the number for lifting it.';

create function exportbox.lift_legal_hold(id bigint) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    lifted record;
begin
    delete from exportbox.legal_hold where legal_hold.id = lift_legal_hold.id returning legal_hold.export_id into lifted;
    if not found then
        return false;
    end if;
    insert into exportbox.event (export_id, kind, detail) values (lifted.export_id, 'legal_hold_lifted', format('legal hold %s', lift_legal_hold.id));
    return true;
end
$$;
comment on function exportbox.lift_legal_hold(bigint) is 'End a legal hold. False: there is none of that number.';

create function exportbox.erase_now(who text, reason text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    narrow constant text := exportbox.address_pattern(who, false);
    wide constant text := exportbox.address_pattern(who, true);
    hashed constant text := exportbox.address_hash(who);
    -- Without an @ it is no address, so nothing can be sent to it.
    mark constant text := 'erased:' || left(hashed, 16);
    touched uuid[];
    alone uuid[];
    unmade uuid[];
    holds text;
    told record;
    stored bigint;
    mails bigint;
    schedules bigint;
    counts jsonb;
    entry bigint;
begin
    perform pg_advisory_xact_lock(hashtext('exportbox'), hashtext('hold'));
    -- A schedule that is requesting now ends first: what it requests is seen below.
    perform from exportbox.schedule order by schedule.name for update;
    select array_agg(o.id),
        coalesce(array_agg(o.id) filter (where cardinality(o.recipients) > 0 and who = all (select lower(r) from unnest(o.recipients) as r)), '{}'),
        coalesce(array_agg(o.id) filter (where concat_ws(' ', o.query, o.params, made.params) ~* narrow or o.filename ~* wide), '{}')
    into touched, alone, unmade
    from exportbox.outbox as o
    -- The values as their types write them, with the report's defaults.
    left join exportbox.job as made on made.export_id = o.id and made.kind = 'export'
    where exists (select from unnest(o.recipients) as r where lower(r) = who)
        or concat_ws(' ', o.query, o.params, made.params, o.format_options, o.metadata, o.subject, o.message) ~* narrow
        or concat_ws(' ', o.filename, o.idempotency_key) ~* wide
        or exists (select from exportbox.delivery where delivery.export_id = o.id and lower(delivery.recipient) = who);
    touched := coalesce(touched, '{}');

    select string_agg(format('%s (%s)', legal_hold.id, legal_hold.reason), ', ' order by legal_hold.id) into holds
    from exportbox.legal_hold
    where legal_hold.address_hash = hashed or legal_hold.export_id = any (touched)
        -- What is said of an export is held with it.
        or exists (select from exportbox.event where event.export_id = legal_hold.export_id and event.detail ~* wide)
        or exists (select from exportbox.object where object.export_id = legal_hold.export_id and object.filename ~* wide)
        or exists (select from exportbox.delivery where delivery.export_id = legal_hold.export_id and delivery.error ~* wide)
        or exists (select from exportbox.job left join exportbox.attempt on attempt.job_id = job.id
            where job.export_id = legal_hold.export_id and concat_ws(' ', job.error, attempt.error, attempt.error_detail) ~* wide);
    if holds is not null then
        raise exception using errcode = 'EB071', message = format('the address is under a legal hold: %s', holds),
            hint = 'Nothing was erased. When the hold has ended: select exportbox.lift_legal_hold(number);';
    end if;

    -- Whoever makes or mails one of them now ends first, or sees what is done here.
    perform from exportbox.job where job.export_id = any (touched) order by job.id for update;
    unmade := array(select job.export_id from exportbox.job
        where job.export_id = any (unmade) and job.kind = 'export' and job.state in ('pending', 'running'));
    select c.stopped, c.asked into told from exportbox.cancel_jobs(array(
        select job.id from exportbox.job where job.export_id = any (alone || unmade)
        union
        select delivery.job_id from exportbox.delivery where lower(delivery.recipient) = who), 'Cancelled: a person was erased.') as c;

    update exportbox.delivery set recipient = mark, updated_at = now() where lower(delivery.recipient) = who;
    get diagnostics mails = row_count;
    update exportbox.notice set recipient = mark, lease_token = null, finished_at = coalesce(notice.finished_at, now()),
        status = case when notice.status = 'sending' then 'unknown' when notice.finished_at is null then 'cancelled' else notice.status end
    where lower(notice.recipient) = who;

    -- One that was for this address alone, or is about it, requests nothing any more.
    update exportbox.schedule as s set
        recipients = array(select r.address from unnest(s.recipients) with ordinality as r (address, position) where lower(r.address) <> who order by r.position),
        params = regexp_replace(s.params::text, narrow, mark, 'gi')::jsonb,
        format_options = regexp_replace(s.format_options::text, narrow, mark, 'gi')::jsonb,
        metadata = regexp_replace(s.metadata::text, narrow, mark, 'gi')::jsonb,
        subject = regexp_replace(s.subject, narrow, mark, 'gi'),
        message = regexp_replace(s.message, narrow, mark, 'gi'),
        filename = regexp_replace(s.filename, wide, mark, 'gi'),
        error = regexp_replace(s.error, wide, mark, 'gi'),
        disabled_at = case when s.params::text ~* narrow or s.filename ~* wide
                or cardinality(s.recipients) > 0 and who = all (select lower(r) from unnest(s.recipients) as r)
            then coalesce(s.disabled_at, now()) else s.disabled_at end
    where exists (select from unnest(s.recipients) as r where lower(r) = who)
        or concat_ws(' ', s.params, s.format_options, s.metadata, s.subject, s.message) ~* narrow
        or concat_ws(' ', s.filename, s.error) ~* wide;
    get diagnostics schedules = row_count;

    perform set_config('exportbox.erasing', 'on', true);
    update exportbox.outbox set
        recipients = array(select r.address from unnest(outbox.recipients) with ordinality as r (address, position) where lower(r.address) <> who order by r.position),
        query = regexp_replace(query, narrow, mark, 'gi'),
        params = regexp_replace(params::text, narrow, mark, 'gi')::jsonb,
        format_options = regexp_replace(format_options::text, narrow, mark, 'gi')::jsonb,
        metadata = regexp_replace(metadata::text, narrow, mark, 'gi')::jsonb,
        subject = regexp_replace(subject, narrow, mark, 'gi'),
        message = regexp_replace(message, narrow, mark, 'gi'),
        filename = regexp_replace(filename, wide, mark, 'gi'),
        -- Whole, so that two keys cannot become one.
        idempotency_key = case when idempotency_key ~* wide then 'erased:' || exportbox.address_hash(idempotency_key) else idempotency_key end
    where outbox.id = any (touched);
    update exportbox.job set params = regexp_replace(job.params::text, narrow, mark, 'gi')::jsonb
    where job.export_id = any (touched) and job.params::text ~* narrow;
    update exportbox.event set detail = regexp_replace(detail, wide, mark, 'gi') where event.detail ~* wide;
    perform set_config('exportbox.erasing', 'off', true);

    -- Our own sentences hold no addresses; the other side's words may, also in exports that have nothing to do with this one.
    update exportbox.job set error = regexp_replace(error, wide, mark, 'gi') where job.error ~* wide;
    update exportbox.delivery set error = regexp_replace(error, wide, mark, 'gi') where delivery.error ~* wide;
    update exportbox.notice set error = regexp_replace(error, wide, mark, 'gi') where notice.error ~* wide;
    update exportbox.control set reason = regexp_replace(control.reason, wide, mark, 'gi') where control.reason ~* wide;
    update exportbox.attempt set error = regexp_replace(error, wide, mark, 'gi'), error_detail = regexp_replace(error_detail, wide, mark, 'gi')
    where concat_ws(' ', attempt.error, attempt.error_detail) ~* wide;
    update exportbox.object set filename = regexp_replace(filename, wide, mark, 'gi') where object.filename ~* wide;

    -- Files that were made for this address alone: out of sight at once, and removed by the next sweep of any worker.
    delete from exportbox.object where object.export_id = any (alone);
    get diagnostics stored = row_count;
    update exportbox.attempt set error_detail = null,
        outcome = case attempt.outcome when 'completed' then 'erased' else attempt.outcome end,
        sweep_after = case attempt.outcome when 'completed' then '-infinity' else attempt.sweep_after end,
        -- The sweep needs the place, not the file's name.
        object_key = regexp_replace(attempt.object_key, '[^/]*$', 'erased')
    from exportbox.job
    where job.id = attempt.job_id and job.export_id = any (alone) and job.kind = 'export' and attempt.outcome is not null;

    counts := jsonb_build_object('requests', cardinality(touched), 'deliveries', mails, 'objects', stored,
        'schedules', schedules, 'cancelled', told.stopped, 'asked_to_stop', told.asked);
    insert into exportbox.erasure (address_hash, reason, counts) values (hashed, erase_now.reason, counts) returning erasure.id into entry;
    insert into exportbox.erased_export (export_id, erasure_id, is_stopped)
    select id, entry, id = any (alone || unmade) from unnest(touched) as id;
    insert into exportbox.event (export_id, kind, detail)
    select id, 'erased', format('an address was erased (erasure %s)', entry) from unnest(touched) as id
    union all
    select null, 'erased', format('erasure %s: %s', entry, counts);
    return jsonb_build_object('erasure', entry, 'address_hash', hashed) || counts || jsonb_build_object('reports', (
        select coalesce(jsonb_agg(distinct report.name), '[]') from exportbox.report where report::text ~* narrow));
end
$$;
comment on function exportbox.erase_now(text, text) is 'What exportbox.erase does, after its checks.';

create function exportbox.erase(address text, reason text default null, dry_run boolean default false) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    said jsonb;
begin
    -- No message repeats the address: it would be in the server's log.
    if coalesce(erase.address, '') !~ '^\s*[^@\s]+@[^@\s]+\s*$' then
        raise exception using errcode = 'EB011', message = 'this is not an e-mail address', hint = 'Give one plain address.';
    end if;
    if erase.reason ~ '@' then
        raise exception using errcode = 'EB072', message = 'the reason must not hold an address', hint = 'Name a ticket or a case.';
    end if;
    perform exportbox.assert_read_committed();
    begin
        said := exportbox.erase_now(lower(btrim(erase.address)), erase.reason);
        if erase.dry_run then
            -- Not EB000: three zeros would mean the whole class.
            raise exception using errcode = 'EB099', message = 'dry run';
        end if;
    exception when sqlstate 'EB099' then
        said := said - 'erasure';
    end;
    return said || jsonb_build_object('dry_run', erase.dry_run);
end
$$;
comment on function exportbox.erase(text, text, boolean) is 'Take an address out of requests, deliveries and events, remove the files made for it alone, and leave a keyed hash. Returns what was touched; a dry run only says it.';

create view exportbox.audit with (security_barrier) as
select event.at, event.kind as what, event.actor, event.login, event.export_id, null::text as report, event.detail
from exportbox.event
where event.kind in ('report_registered', 'report_disabled', 'report_sealed', 'cancel_requested', 'cancelled', 'cancelled_where', 'requeued', 'requeued_where', 'relinked', 'held', 'released',
        'paused', 'resumed', 'priority_set', 'erased', 'legal_hold_placed', 'legal_hold_lifted', 'pruned',
        'schedule_registered', 'schedule_disabled', 'schedule_enabled', 'schedule_dropped')
    and pg_has_role(current_user, 'exportbox_reader', 'usage')
union all
select outbox.requested_at, 'requested', outbox.requested_by, null, outbox.id, outbox.report, null
from exportbox.outbox
where pg_has_role(current_user, 'exportbox_reader', 'usage');
comment on view exportbox.audit is 'Who registered, changed, scheduled, requested, cancelled, requeued, paused, held, erased and deleted what, and when. No addresses, no queries, no values.';
comment on column exportbox.audit.at is 'When.';
comment on column exportbox.audit.what is 'requested, or a kind of event.';
comment on column exportbox.audit.actor is 'The role that acted.';
comment on column exportbox.audit.login is 'The login that it acted over; null for a request.';
comment on column exportbox.audit.export_id is 'The export concerned, if one.';
comment on column exportbox.audit.report is 'Of a request: the report''s name, null for an ad-hoc query.';
comment on column exportbox.audit.detail is 'One sentence without personal data.';

revoke all on function exportbox.is_append_only(), exportbox.outbox_pruned(), exportbox.recipients_now(uuid[]), exportbox.is_erased(uuid), exportbox.address_hash(text),
    exportbox.address_pattern(text, boolean), exportbox.assert_read_committed(), exportbox.place_legal_hold(text, uuid, text), exportbox.lift_legal_hold(bigint),
    exportbox.erase_now(text, text), exportbox.erase(text, text, boolean) from public;
grant execute on function exportbox.erase(text, text, boolean), exportbox.place_legal_hold(text, uuid, text), exportbox.lift_legal_hold(bigint),
    exportbox.address_hash(text) to exportbox_operator;
grant execute on function exportbox.recipients_now(uuid[]), exportbox.is_erased(uuid) to exportbox_worker;
grant select on exportbox.erasure, exportbox.legal_hold to exportbox_operator;
grant select on exportbox.audit to exportbox_reader, exportbox_operator;
