-- Erasing a person, placing and lifting the legal hold that forbids it, and the audit.

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
    perform pg_advisory_xact_lock(hashtext('exportbox'), hashtext('hold')); -- guard: lock of an erasure
    insert into exportbox.legal_hold (export_id, address_hash, reason)
    values (place_legal_hold.export_id, exportbox.address_hash(place_legal_hold.address), place_legal_hold.reason)
    returning legal_hold.id into hold;
    insert into exportbox.event (export_id, kind, detail) values (place_legal_hold.export_id, 'legal_hold_placed', format('legal hold %s', hold));
    return hold;
end
$$;
comment on function exportbox.place_legal_hold(text, uuid, text) is 'Keep an export from being erased and deleted, or an address from being erased. Returns the number for lifting it.';
grant execute on function exportbox.place_legal_hold(text, uuid, text) to exportbox_operator;

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
grant execute on function exportbox.lift_legal_hold(bigint) to exportbox_operator;

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
    perform pg_advisory_xact_lock(hashtext('exportbox'), hashtext('hold')); -- guard: lock of the holds
    -- A schedule that is requesting now ends first: what it requests is seen below.
    perform from exportbox.schedule order by schedule.name for update;
    select array_agg(o.id),
        coalesce(array_agg(o.id) filter (where cardinality(o.recipients) > 0 and who = all (select lower(r) from unnest(o.recipients) as r)), '{}'),
        coalesce(array_agg(o.id) filter (where concat_ws(' ', o.query, o.params, made.params) ~* narrow or o.filename ~* wide), '{}')
    into touched, alone, unmade
    from exportbox.outbox as o
    -- The values as their types write them, with the report's defaults.
    left join exportbox.job as made on made.id = o.id
    where exists (select from unnest(o.recipients) as r where lower(r) = who)
        or concat_ws(' ', o.query, o.params, made.params, o.format_options, o.metadata, o.subject, o.message) ~* narrow
        or concat_ws(' ', o.filename, o.idempotency_key) ~* wide
        or exists (select from exportbox.job join exportbox.message on message.id = job.id where job.export_id = o.id and lower(message.recipient) = who);
    touched := coalesce(touched, '{}');

    select string_agg(format('%s (%s)', legal_hold.id, legal_hold.reason), ', ' order by legal_hold.id) into holds
    from exportbox.legal_hold
    where legal_hold.address_hash = hashed or legal_hold.export_id = any (touched)
        -- What is said of an export is held with it.
        or exists (select from exportbox.event where event.export_id = legal_hold.export_id and event.detail ~* wide)
        or exists (select from exportbox.object where object.export_id = legal_hold.export_id and object.filename ~* wide)
        or exists (select from exportbox.job join exportbox.message on message.id = job.id where job.export_id = legal_hold.export_id and message.error ~* wide)
        or exists (select from exportbox.job left join exportbox.attempt on attempt.job_id = job.id
            where job.export_id = legal_hold.export_id
                and concat_ws(' ', job.error, attempt.error, attempt.error_detail) ~* wide -- guard: words of a held export
        );
    if holds is not null then -- guard: legal hold
        raise exception using errcode = 'EB071', message = format('the address is under a legal hold: %s', holds),
            hint = 'Nothing was erased. When the hold has ended: select exportbox.lift_legal_hold(number);';
    end if;

    -- Whoever makes or mails one of them now ends first, or sees what is done here.
    perform from exportbox.job where job.export_id = any (touched) order by job.id for update; -- guard: lock of the jobs
    unmade := array(select job.id from exportbox.job where job.id = any (unmade) and job.state in ('pending', 'running'));
    select c.stopped, c.asked into told from exportbox.cancel_jobs(array(
        select job.id from exportbox.job where job.export_id = any (alone || unmade) -- guard: running exports
        union select message.id from exportbox.message where lower(message.recipient) = who -- guard: waiting mails
        ), 'Cancelled: a person was erased.') as c;

    update exportbox.message set recipient = mark, updated_at = now() where lower(message.recipient) = who;
    get diagnostics mails = row_count;

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
        message = regexp_replace(message, narrow, mark, 'gi'), -- guard: message
        filename = regexp_replace(filename, wide, mark, 'gi'),
        -- Whole, so that two keys cannot become one.
        idempotency_key = case when idempotency_key ~* wide then 'erased:' || exportbox.address_hash(idempotency_key) else idempotency_key end
    where outbox.id = any (touched);
    update exportbox.job set params = regexp_replace(job.params::text, narrow, mark, 'gi')::jsonb
    where (job.export_id = any (touched) or job.export_id is null) and job.params::text ~* narrow;
    update exportbox.event set detail = regexp_replace(detail, wide, mark, 'gi') where event.detail ~* wide; -- guard: history
    perform set_config('exportbox.erasing', 'off', true);

    -- Our own sentences hold no addresses; the other side's words may, also in exports that have nothing to do with this one.
    update exportbox.job set error = regexp_replace(error, wide, mark, 'gi') where job.error ~* wide;
    update exportbox.message set error = regexp_replace(error, wide, mark, 'gi') where message.error ~* wide;
    update exportbox.control set reason = regexp_replace(control.reason, wide, mark, 'gi') where control.reason ~* wide;
    update exportbox.attempt set error = regexp_replace(error, wide, mark, 'gi'), error_detail = regexp_replace(error_detail, wide, mark, 'gi')
    where concat_ws(' ', attempt.error, attempt.error_detail) ~* wide;
    update exportbox.object set filename = regexp_replace(filename, wide, mark, 'gi') where object.filename ~* wide;

    -- Files that were made for this address alone: out of sight at once, and removed by the next sweep of any worker.
    delete from exportbox.object where object.export_id = any (alone); -- guard: file in sight
    get diagnostics stored = row_count;
    update exportbox.attempt set
        error_detail = null, -- guard: raw words
        outcome = case attempt.outcome when 'completed' then 'erased' else attempt.outcome end, -- guard: file in the bucket
        sweep_after = case attempt.outcome when 'completed' then '-infinity' else attempt.sweep_after end,
        -- The sweep needs the place, not the file's name.
        object_key = regexp_replace(attempt.object_key, '[^/]*$', 'erased') -- guard: name in the key
    from exportbox.job
    where job.id = attempt.job_id and job.id = any (alone) and attempt.outcome is not null;

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
        raise exception using errcode = 'EB011', message = 'this is not an e-mail address', hint = 'Give one plain address.'; -- guard: no address
    end if;
    if erase.reason ~ '@' then
        raise exception using errcode = 'EB072', message = 'the reason must not hold an address', hint = 'Name a ticket or a case.';
    end if;
    perform exportbox.assert_read_committed();
    begin
        said := exportbox.erase_now(lower(btrim(erase.address)), erase.reason);
        if erase.dry_run then -- guard: dry run
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
grant execute on function exportbox.erase(text, text, boolean) to exportbox_operator;

create view exportbox.audit with (security_barrier) as
select event.at, event.kind as what, event.actor, event.login, event.export_id, null::text as report, event.detail
from exportbox.event
where event.kind in ('report_registered', 'report_disabled', 'report_sealed', 'cancel_requested', 'cancelled', 'cancelled_where', 'requeued', 'requeued_where', 'relinked', 'held', 'released',
        'paused', 'resumed', 'priority_set', 'erased', 'legal_hold_placed', 'legal_hold_lifted', 'pruned',
        'schedule_registered', 'schedule_disabled', 'schedule_enabled', 'schedule_dropped')
    and pg_has_role(current_user, 'exportbox_reader', 'usage') -- guard: readers of events
union all
select outbox.requested_at, 'requested', outbox.requested_by, null, outbox.id, outbox.report, null
from exportbox.outbox
where pg_has_role(current_user, 'exportbox_reader', 'usage'); -- guard: readers of requests
comment on view exportbox.audit is 'Who registered, changed, scheduled, requested, cancelled, requeued, paused, held, erased and deleted what, and when. No addresses, no queries, no values.';
comment on column exportbox.audit.at is 'When.';
comment on column exportbox.audit.what is 'requested, or a kind of event.';
comment on column exportbox.audit.actor is 'The role that acted.';
comment on column exportbox.audit.login is 'The login that it acted over; null for a request.';
comment on column exportbox.audit.export_id is 'The export concerned, if one.';
comment on column exportbox.audit.report is 'Of a request: the report''s name, null for an ad-hoc query.';
comment on column exportbox.audit.detail is 'One sentence without personal data.';
grant select on exportbox.audit to exportbox_operator, exportbox_reader;
