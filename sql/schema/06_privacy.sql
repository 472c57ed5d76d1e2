-- What an erasure leaves behind, what forbids one, and how an address is hashed and found.

create table exportbox.privacy_key (
    only_row boolean not null default true,
    key      bytea not null default sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
    constraint privacy_key_pkey primary key (only_row),
    constraint privacy_key_is_one check (only_row)
);
comment on table exportbox.privacy_key is 'The key of this schema''s hashes of addresses; only its owner reads it. Without it nobody can try addresses against the hashes.';
comment on column exportbox.privacy_key.only_row is 'There is one.';
comment on column exportbox.privacy_key.key is '256 bits, made with the schema.';
comment on index exportbox.privacy_key_pkey is 'There is one key: the table has one row.';
insert into exportbox.privacy_key default values;

create table exportbox.erasure (
    id           bigint generated always as identity,
    at           timestamptz not null default now(),
    actor        text not null default exportbox.acting_role(),
    address_hash text not null,
    reason       text, -- guard: no unclassified text
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
comment on index exportbox.erasure_pkey is 'Numbers the erasures: events and erased_export name one.';
create trigger erasure_is_append_only before update or delete or truncate on exportbox.erasure -- guard: append only
    for each statement execute function exportbox.is_append_only();
grant select on exportbox.erasure to exportbox_operator;

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
comment on index exportbox.erased_export_pkey is 'Read by is_erased, requeue and requeue_where.';

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
comment on index exportbox.legal_hold_pkey is 'Read by lift_legal_hold.';
create index legal_hold_export on exportbox.legal_hold (export_id) where export_id is not null;
comment on index exportbox.legal_hold_export is 'Read by erase and by the check when a request is deleted.';
grant select on exportbox.legal_hold to exportbox_operator;

create function exportbox.outbox_pruned() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into exportbox.event (export_id, kind, detail)
    select gone.id, 'pruned', format('requested by %I at %s', gone.requested_by, to_char(gone.requested_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
    from gone; -- guard: a line for each
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
grant execute on function exportbox.recipients_now(uuid[]) to exportbox_worker;

create function exportbox.is_erased(job_id uuid) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select exists (select from exportbox.message where message.id = is_erased.job_id and message.recipient like 'erased:%')
        or exists (
            select from exportbox.job join exportbox.erased_export on erased_export.export_id = job.export_id
            where job.id = is_erased.job_id)
$$;
comment on function exportbox.is_erased(uuid) is
    'Whether an address was taken out of a job''s request or mail, as this moment has it: volatile, for statements that had to wait for that.';
grant execute on function exportbox.is_erased(uuid) to exportbox_worker;

create function exportbox.address_hash(address text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    -- Nested as in HMAC, so that the hash of one text says nothing about that of a longer one.
    select encode(sha256(key || sha256(key || convert_to(lower(btrim(address)), 'UTF8'))), 'hex') from exportbox.privacy_key -- guard: keyed hash
$$;
comment on function exportbox.address_hash(text) is 'The keyed hash of an address, whatever its case: exportbox.erasure and legal_hold hold nothing else of it.';
grant execute on function exportbox.address_hash(text) to exportbox_operator; -- guard: operators only

create function exportbox.address_pattern(address text, is_wide boolean) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    -- An address that is the end of a longer one is another's: joann@, mary-ann@. In names of files and keys words are glued together, and
    -- too much is better than too little there.
    -- Before an address may stand what JSON writes for a line break, and dots that no address begins with; after it a word in hyphens, if no
    -- domain comes of it.
    select '(?:' || case when is_wide then '(?<![A-Za-z0-9.+])'
            else '(?<![A-Za-z0-9.+_-])' end -- guard: behind a longer name
        || '|(?<=[^\\](?:\\\\)*\\[bfnrt])' -- guard: after line breaks
        || '|(?<=\\u00[01][0-9a-f])' -- guard: after control characters
        || '|(?<=[^A-Za-z0-9+_-][.])|(?<=^[.])' -- guard: after two dots
        || ')'
        || regexp_replace(address, '([^A-Za-z0-9])', '\\\1', 'g')
        || case when is_wide then '(?![A-Za-z0-9])' else '(?![A-Za-z0-9]'
            || '|-[A-Za-z0-9-]*\.[A-Za-z0-9]' -- guard: before a hyphen
            || '|\.[A-Za-z0-9]' -- guard: before a dot
            || ')' end
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
