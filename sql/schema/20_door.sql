-- The door: what happens in the application's own INSERT. A wrong request fails it with an SQLSTATE of class EB and a sentence that says what to
-- change; a right one leaves a pending job in the same transaction.

create function exportbox.wake(due timestamptz) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    -- A transaction with an older snapshot cannot see who has fallen asleep since: it wakes everybody.
    sees_all constant boolean := current_setting('transaction_isolation') = 'read committed';
begin
    -- Only somebody who sleeps past that instant is woken, and only one: NOTIFY takes a lock at commit, which the application pays.
    -- A sleeper whose listening backend is gone is passed over.
    perform pg_notify(sleeper.channel, '')
    from (
        select worker.channel
        from exportbox.worker
        where (worker.waiting_until > greatest(due, clock_timestamp()) or not sees_all)
            and worker.listener_pid is not null
            and exists (select from pg_stat_get_activity(worker.listener_pid))
        order by worker.waiting_since desc nulls last
        limit case when sees_all then 1 end
    ) as sleeper;
end
$$;
comment on function exportbox.wake(timestamptz) is 'Wake one idle worker that would otherwise sleep past this instant. A hint: polling is the truth.';
grant execute on function exportbox.wake(timestamptz) to exportbox_worker;

create function exportbox.check_request(request exportbox.outbox) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    fault constant text := exportbox.fault(request);
    catalogued exportbox.report;
begin
    if fault is not null then
        perform exportbox.refuse(request, fault);
    end if;
    if request.report is not null then
        select report.* into catalogued from exportbox.report where report.name = request.report order by report.version desc limit 1;
        perform exportbox.assert_requestable(catalogued, request.report, request.requested_by);
        perform exportbox.check_limits(request, catalogued), exportbox.read_params(request.report, catalogued.params, request.params);
    end if;
end
$$;
comment on function exportbox.check_request(exportbox.outbox) is 'Refuse what the door would refuse.';

create function exportbox.outbox_fill() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    -- Object mappers insert explicit nulls for what their user left out.
    new.id := coalesce(new.id, exportbox.new_id());
    new.params := coalesce(new.params, '{}');
    new.recipients := coalesce(new.recipients, '{}');
    new.format := coalesce(new.format, 'csv');
    new.compression := coalesce(new.compression, 'none');
    new.format_options := coalesce(new.format_options, '{}');
    new.run_at := coalesce(new.run_at, now());
    new.priority := coalesce(new.priority, 5);
    new.metadata := coalesce(new.metadata, '{}');
    -- Invoker's rights on purpose: this is who inserts.
    new.requested_by := current_user; -- guard: who asks
    if current_setting('exportbox.requested_by', true) <> '' then
        -- The setting alone opens nothing: exportbox.request_scheduled acts with the rights of the table's owner.
        if pg_has_role(current_user, (select relowner from pg_class where oid = tg_relid), 'usage') then -- guard: owner of the outbox
            new.requested_by := current_setting('exportbox.requested_by');
        end if;
    end if;
    new.requested_at := now();
    return new;
end
$$;
comment on function exportbox.outbox_fill() is 'Stamps who and when, and fills defaults. No checks here: a row that ON CONFLICT skips must not be refused.';
-- Only where it would change something: the columns' defaults have mostly done it.
create trigger outbox_fill before insert on exportbox.outbox
    for each row when (new.requested_by is distinct from current_user -- guard: stamp
        or new.requested_at is distinct from now()
        or current_setting('exportbox.requested_by', true) <> ''
        or num_nulls(new.id, new.params, new.recipients, new.format, new.compression, new.format_options, new.run_at, new.priority, new.metadata) > 0)
    execute function exportbox.outbox_fill();

create function exportbox.outbox_accept() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    most constant integer := 20000;
    taken integer := 0;
    rows integer;
    fault text;
    due timestamptz;
    earliest timestamptz;
    are_alike boolean;
    requests exportbox.outbox[];
    request exportbox.outbox;
    others exportbox.outbox[];
    given jsonb[];
    catalogued exportbox.report;
    inputs jsonb[];
begin
    -- All requests at once, or as many as fit well into memory.
    loop
        select min(exportbox.fault(row(r.*)::exportbox.outbox)), min(r.run_at), array_agg(row(r.*)::exportbox.outbox),
            array_agg(r.params), count(*), count(r.report) in (0, count(*)) and coalesce(min(r.report) = max(r.report), true)
                and min(r.requested_by) = max(r.requested_by)
        into fault, due, requests, given, rows, are_alike
        from (select new_requests.* from new_requests limit most offset taken) as r;
        if fault is not null then
            foreach request in array requests loop
                fault := exportbox.fault(request);
                exit when fault is not null;
            end loop;
            perform exportbox.refuse(request, fault);
        end if;
        -- What a statement asks for is mostly one report in one role's name: looked up once, and all its values read at once.
        while requests is not null loop
            request := requests[1];
            others := null;
            if not are_alike then
                select array_agg(r) filter (where r.report is not distinct from request.report and r.requested_by = request.requested_by),
                    array_agg(r) filter (where r.report is distinct from request.report or r.requested_by <> request.requested_by)
                into requests, others
                from unnest(requests) as r;
                given := array(select r.params from unnest(requests) as r);
            end if;
            catalogued := null;
            inputs := null;
            if request.report is not null then
                select report.* into catalogued from exportbox.report where report.name = request.report order by report.version desc limit 1;
                if catalogued.name is null or num_nonnulls(catalogued.disabled_at, catalogued.requesters) > 0 then
                    perform exportbox.assert_requestable(catalogued, request.report, request.requested_by);
                end if;
                if num_nonnulls(catalogued.formats, catalogued.max_recipients, catalogued.recipient_domains) > 0 then
                    foreach request in array requests loop
                        perform exportbox.check_limits(request, catalogued);
                    end loop;
                end if;
                inputs := exportbox.read_all_params(request.report, catalogued.params, given);
            end if;
            insert into exportbox.job (id, export_id, kind, run_at, not_after, priority, timeout, max_attempts, report, report_version, source, params)
            select r.id, r.id, 'export', r.run_at, r.not_after, r.priority,
                least(r.timeout, catalogued.timeout), -- guard: timeout of the report
                r.max_attempts, r.report, catalogued.version, nullif(catalogued.source, 'default'), r.unnest
            from rows from (unnest(requests), unnest(inputs)) as r;
            requests := others;
        end loop;
        earliest := least(earliest, due);
        taken := taken + rows;
        exit when rows < most;
    end loop;
    -- A look first: when nobody sleeps, that is all there is to pay.
    if earliest is not null and exists (select from exportbox.worker where worker.waiting_until > earliest or current_setting('transaction_isolation') <> 'read committed') then
        perform exportbox.wake(earliest);
    end if;
    return null;
end
$$;
comment on function exportbox.outbox_accept() is 'Checks the requests of one statement, makes their jobs, and wakes a sleeper once.';
create trigger outbox_accept after insert on exportbox.outbox
    referencing new table as new_requests
    for each statement execute function exportbox.outbox_accept();

create function exportbox.outbox_is_history() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    may_hold_an_address constant text[] := '{query,params,recipients,format_options,filename,idempotency_key,subject,message,metadata}';
begin
    -- The setting alone opens nothing: exportbox.erase acts with the rights of the table's owner.
    if current_setting('exportbox.erasing', true) = 'on'
        and pg_has_role(current_user, (select relowner from pg_class where oid = tg_relid), 'usage') then -- guard: owner of the request
        if tg_level = 'STATEMENT' then
            return null;
        elsif to_jsonb(new) - may_hold_an_address = to_jsonb(old) - may_hold_an_address
            and cardinality(new.recipients) <= cardinality(old.recipients) then
            return new;
        end if;
    end if;
    raise exception using errcode = 'EB050', message = 'a request never changes once it is made',
        hint = 'Cancel it with exportbox.cancel(id) and insert a new one.';
end
$$;
comment on function exportbox.outbox_is_history() is 'Rows of the outbox are facts about the request. Only an address can be taken out of one, by exportbox.erase.';
create trigger outbox_is_history before update on exportbox.outbox
    for each statement execute function exportbox.outbox_is_history();
create trigger outbox_keeps_its_facts before update on exportbox.outbox
    for each row execute function exportbox.outbox_is_history();

create function exportbox.request_export(
    report text default null,
    query text default null,
    params jsonb default null,
    recipients text[] default null,
    format text default null,
    compression text default null,
    format_options jsonb default null,
    filename text default null,
    idempotency_key text default null,
    run_at timestamptz default null,
    not_after timestamptz default null,
    priority integer default null,
    timeout interval default null,
    max_attempts integer default null,
    link_ttl interval default null,
    subject text default null,
    message text default null,
    metadata jsonb default null
) returns uuid
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    export_id uuid;
begin
    insert into exportbox.outbox (report, query, params, recipients, format, compression, format_options, filename,
        idempotency_key, run_at, not_after, priority, timeout, max_attempts, link_ttl, subject, message, metadata)
    values (request_export.report, request_export.query, request_export.params, request_export.recipients, request_export.format,
        request_export.compression, request_export.format_options, request_export.filename, request_export.idempotency_key,
        request_export.run_at, request_export.not_after,
        -- Kept within the column's type, so that what is out of range is refused in our own words.
        case when request_export.priority is not null then greatest(-1, least(request_export.priority, 32767))::smallint end, request_export.timeout,
        case when request_export.max_attempts is not null then greatest(-1, least(request_export.max_attempts, 32767))::smallint end, request_export.link_ttl, request_export.subject, request_export.message,
        request_export.metadata)
    on conflict (requested_by, idempotency_key) do nothing
    returning id into export_id;
    if export_id is null then
        select outbox.id into strict export_id from exportbox.outbox
        where outbox.requested_by = current_user and outbox.idempotency_key = request_export.idempotency_key;
    end if;
    return export_id;
end
$$;
comment on function exportbox.request_export is 'The same as an INSERT, for those who prefer a call. A repeated idempotency_key returns the first id.';
grant execute on function exportbox.request_export to exportbox_requester;
