-- Mailing a new link to a file that is still there.

create function exportbox.assert_linkable(made exportbox.job) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    ends timestamptz;
    stored bigint;
begin
    if made.state is distinct from 'completed' then
        raise exception using errcode = 'EB092', message = format('export %s is %s, so there is no file to link to', made.export_id, made.state),
            hint = 'Wait for it, or requeue it when it is dead.';
    end if;
    select count(*), min(object.created_at + report.object_life) into stored, ends
    from exportbox.object
    join exportbox.outbox on outbox.id = object.export_id
    left join exportbox.report on report.name = outbox.report and report.version = made.report_version
    where object.export_id = made.export_id;
    -- A link that lives for less than a minute is not mailed.
    if stored = 0 or ends < now() + interval '1 minute' then
        raise exception using errcode = 'EB092', message = format('the file of export %s is removed or at the end of its life', made.export_id),
            hint = 'Request the export again.';
    end if;
    if (select count(*) from exportbox.event
        where event.export_id = made.export_id and event.kind = 'relinked' and event.at > now() - interval '24 hours') >= 5 then
        raise exception using errcode = 'EB093', message = format('export %s was relinked five times within 24 hours', made.export_id),
            hint = 'Use one of the links that were mailed, or wait.';
    end if;
end
$$;
comment on function exportbox.assert_linkable(exportbox.job) is 'An export whose file is there for a new link, as far as the tables know, and that is not relinked too often.';

create function exportbox.address_to_relink(request exportbox.outbox, made exportbox.job, address text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    of_request text := (select listed from unnest(request.recipients) as listed where lower(listed) = lower(address_to_relink.address) limit 1);
    catalogued exportbox.report;
begin
    if of_request is not null then
        return of_request;
    end if;
    -- No message repeats the address: it would be in the server's log.
    if request.report is null or not pg_has_role(exportbox.acting_role(), 'exportbox_operator', 'usage') then
        raise exception using errcode = 'EB094', message = format('that address is no recipient of export %s', request.id),
            hint = 'Name one of the export''s own recipients; operators may name another for an export of a report, where the report allows it.';
    end if;
    if not exportbox.is_address(address) then
        raise exception using errcode = 'EB011', message = 'that is not an e-mail address', hint = 'Use one plain address such as ann@example.com.';
    end if;
    if exists (select from exportbox.erasure
        where erasure.address_hash = exportbox.address_hash(address_to_relink.address) and erasure.at >= request.requested_at) then
        raise exception using errcode = 'EB094', message = format('that address was erased after export %s was requested', request.id),
            hint = 'Request the export anew if the person wants it.';
    end if;
    select report.* into catalogued from exportbox.report where report.name = request.report and report.version = made.report_version;
    request.recipients := array[address];
    perform exportbox.check_limits(request, catalogued);
    return address;
end
$$;
comment on function exportbox.address_to_relink(exportbox.outbox, exportbox.job, text) is
    'The address as the request writes it; one that the request does not name is for operators, for reports, and for domains that the report allows.';

create function exportbox.relink(export_id uuid, recipient text default null) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    request exportbox.outbox;
    made exportbox.job;
    addresses text[];
    again uuid[];
    anew text[];
    mails integer;
begin
    perform exportbox.assert_may_operate(relink.export_id);
    perform exportbox.assert_still_allowed(relink.export_id);
    -- Two at once count each other, and an erasure that has begun is waited for: it holds this row, too.
    perform from exportbox.job where job.id = relink.export_id and job.kind = 'export' for update;
    select outbox.* into request from exportbox.outbox where outbox.id = relink.export_id;
    select job.* into made from exportbox.job where job.id = relink.export_id and job.kind = 'export';
    perform exportbox.assert_linkable(made);
    addresses := case when relink.recipient is not null then array[exportbox.address_to_relink(request, made, btrim(relink.recipient))] else request.recipients end;

    -- A mail that failed has a fresh start, one that was sent has a successor, and one that is on its way is waited for.
    select array_agg(last.id) filter (where last.state in ('dead', 'cancelled')),
        array_agg(named.address) filter (where last.state is null or last.state = 'completed')
    into again, anew
    from (select distinct on (lower(address)) address from unnest(addresses) as address order by lower(address)) as named
    left join lateral (
        select message.id, job.state
        from exportbox.message
        join exportbox.job on job.id = message.id
        where job.export_id = relink.export_id and lower(message.recipient) = lower(named.address)
        order by message.id desc
        limit 1
    ) as last on true;
    with started as materialized (
        select requeued.requeued from exportbox.requeue_jobs(again, interval '0') as requeued
    ), successor as materialized (
        select exportbox.new_id() as id, address from unnest(anew) as address
    ), queued as (
        insert into exportbox.job (id, export_id, kind, report, priority)
        select successor.id, made.export_id, 'message', made.report, made.priority from successor
    ), addressed as (
        insert into exportbox.message (id, origin, recipient)
        select successor.id, 'export', successor.address from successor
    )
    select coalesce((select sum(started.requeued) from started), 0) + (select count(*) from successor) into mails;
    if mails = 0 then
        raise exception using errcode = 'EB092', message = format('export %s has no recipient to send a new link to now', relink.export_id),
            hint = 'Its mails are still on their way, or it was requested without recipients.';
    end if;
    insert into exportbox.event (export_id, kind, detail) values (relink.export_id, 'relinked', format('%s mails', mails)
        || case when addresses <@ request.recipients then '' else ', to an address that the request does not name' end);
    perform exportbox.wake(now());
    return mails;
end
$$;
comment on function exportbox.relink(uuid, text) is
    'Mail a new link to the file of a completed export, to all its recipients or to one. Returns how many mails. At most five times within 24 hours.';
grant execute on function exportbox.relink(uuid, text) to exportbox_requester, exportbox_worker, exportbox_operator;
