-- Operating many at once: requeue and cancel by filter, a link mailed anew, and the dead letters with what to do about each.

create function exportbox.error_code(error_detail text) returns text
language sql immutable
-- Written in front by the daemon, after a look at its characters; what comes after it is the other side's.
return substring(error_detail from '^\[([A-Za-z0-9. ]{1,64})\] ');
comment on function exportbox.error_code(text) is 'SQLSTATE, or the code of S3, SES or a mail server, of a raw error. Tells nothing else of it.';

create view exportbox.dead with (security_barrier) as
select job.id as job_id, job.export_id, job.kind, outbox.report, outbox.requested_by, job.error_class,
    exportbox.error_code(last.error_detail) as code, coalesce(first.error, job.error) as first_error, job.error as last_error,
    job.leases as attempts, job.finished_at as died_at, exportbox.remedy(job.error_class) as what_to_do
from exportbox.job
join exportbox.outbox on outbox.id = job.export_id
left join lateral (
    select attempt.error from exportbox.attempt
    where attempt.job_id = job.id and attempt.error is not null
    order by attempt.number limit 1
) as first on true
left join lateral (
    select attempt.error_detail from exportbox.attempt
    where attempt.job_id = job.id
    order by attempt.number desc limit 1
) as last on true
where job.state = 'dead' and exportbox.may_see(outbox.requested_by);
comment on view exportbox.dead is 'Dead letters: one row per job that only a person brings back, with what to do about it.';
comment on column exportbox.dead.job_id is 'The job.';
comment on column exportbox.dead.export_id is 'The request it serves.';
comment on column exportbox.dead.kind is 'export: there is no file. delivery: one recipient got no mail.';
comment on column exportbox.dead.report is 'The report''s name; null for an ad-hoc query.';
comment on column exportbox.dead.requested_by is 'The role that asked.';
comment on column exportbox.dead.error_class is 'Class of the error that it died of.';
comment on column exportbox.dead.code is 'SQLSTATE, or the code of S3, SES or the mail server, of its last attempt.';
comment on column exportbox.dead.first_error is 'The error of its first attempt that failed, in words.';
comment on column exportbox.dead.last_error is 'The error that it died of, in words.';
comment on column exportbox.dead.attempts is 'How often it was started.';
comment on column exportbox.dead.died_at is 'When it died.';
comment on column exportbox.dead.what_to_do is 'What to do about this class of errors.';

create index job_cancelled on exportbox.job (finished_at) where state = 'cancelled';
comment on index exportbox.job_cancelled is 'Read by requeue_where.';

comment on index exportbox.job_dead is 'Read by status, the health and dead views, requeue_where, gather_digest and load_digest.';

create function exportbox.jobs_where(
    states text[], state text, kind text, report text, error_class text, requested_by text, since timestamptz, until timestamptz
) returns table (id bigint, export_id uuid)
language sql stable
begin atomic
    -- A branch for each partial index. What is over counts by its end, what is not by its beginning.
    select job.id, job.export_id
    from (
        select ended.id, ended.export_id, ended.kind, ended.error_class from exportbox.job as ended
        where ended.state = 'dead' and 'dead' = any (jobs_where.states) and coalesce(jobs_where.state, 'dead') = 'dead'
            and ended.finished_at >= coalesce(jobs_where.since, '-infinity') and ended.finished_at < coalesce(jobs_where.until, 'infinity')
        union all
        select ended.id, ended.export_id, ended.kind, ended.error_class from exportbox.job as ended
        where ended.state = 'cancelled' and 'cancelled' = any (jobs_where.states) and coalesce(jobs_where.state, 'cancelled') = 'cancelled'
            and ended.finished_at >= coalesce(jobs_where.since, '-infinity') and ended.finished_at < coalesce(jobs_where.until, 'infinity')
        union all
        select waits.id, waits.export_id, waits.kind, waits.error_class from exportbox.job as waits
        where waits.state = 'pending' and 'pending' = any (jobs_where.states) and coalesce(jobs_where.state, 'pending') = 'pending'
            and waits.created_at >= coalesce(jobs_where.since, '-infinity') and waits.created_at < coalesce(jobs_where.until, 'infinity')
        union all
        select runs.id, runs.export_id, runs.kind, runs.error_class from exportbox.job as runs
        where runs.state = 'running' and 'running' = any (jobs_where.states) and coalesce(jobs_where.state, 'running') = 'running'
            and runs.cancel_requested_at is null
            and runs.created_at >= coalesce(jobs_where.since, '-infinity') and runs.created_at < coalesce(jobs_where.until, 'infinity')
    ) as job
    where (jobs_where.kind is null or job.kind = jobs_where.kind)
        -- What was stopped because a person was erased stays stopped.
        and not exists (select from exportbox.delivery where delivery.job_id = job.id and delivery.recipient like 'erased:%')
        and not exists (select from exportbox.erased_export where erased_export.export_id = job.export_id and erased_export.is_stopped)
        and (jobs_where.error_class is null or job.error_class = jobs_where.error_class)
        and (jobs_where.report is null and jobs_where.requested_by is null or exists (
            select from exportbox.outbox
            where outbox.id = job.export_id
                and outbox.report is not distinct from coalesce(jobs_where.report, outbox.report)
                and outbox.requested_by = coalesce(jobs_where.requested_by, outbox.requested_by)));
end;
comment on function exportbox.jobs_where(text[], text, text, text, text, text, timestamptz, timestamptz) is
    'The jobs in one of these states that a filter names. For functions that have checked who may, and that the filter is none that names all.';

create function exportbox.check_filter(
    states text[], state text, kind text, report text, error_class text, requested_by text, since timestamptz, until timestamptz, at_most integer
) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if num_nonnulls(state, kind, report, error_class, requested_by, since, until) = 0 then
        raise exception using errcode = 'EB090', message = 'the filter is empty, and would name every job',
            hint = 'Name at least one of state, kind, report, error_class, requested_by, since and until.';
    end if;
    if state <> all (states) or kind not in ('export', 'delivery') then
        raise exception using errcode = 'EB091', message = 'the filter names a state or kind that there is not here',
            hint = format('States: %s. Kinds: export and delivery.', array_to_string(states, ' and '));
    end if;
    if since >= until or at_most < 1 then
        raise exception using errcode = 'EB091', message = 'the filter can name nothing',
            hint = 'Set since before until, and at_most to 1 or more.';
    end if;
end
$$;
comment on function exportbox.check_filter(text[], text, text, text, text, text, timestamptz, timestamptz, integer) is
    'Refuses a filter that names everything, and one that can name nothing.';

create function exportbox.filter_in_words(state text, kind text, report text, error_class text, requested_by text, since timestamptz, until timestamptz)
returns text
language sql stable
return concat_ws(', ', 'state ' || state, 'kind ' || kind, 'report ' || report, 'error class ' || error_class, 'requested by ' || requested_by,
    'since ' || to_char(since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'until ' || to_char(until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
comment on function exportbox.filter_in_words(text, text, text, text, text, timestamptz, timestamptz) is 'A filter as the history tells it.';

create function exportbox.requeue_where(
    state text default null,
    kind text default null,
    report text default null,
    error_class text default null,
    requested_by text default null,
    since timestamptz default null,
    until timestamptz default null,
    at_most integer default null,
    spread interval default '0',
    dry_run boolean default false
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    states constant text[] := '{dead,cancelled}';
    -- What dies again of this very requeue is not meant.
    before constant timestamptz := least(until, now());
    most constant integer := least(at_most, 1000);
    picked bigint[];
    jobs bigint;
    exports bigint;
begin
    perform exportbox.check_filter(states, state, kind, report, error_class, requested_by, since, until, at_most);
    if spread not between interval '0' and interval '7 days' then
        raise exception using errcode = 'EB091', message = format('spread %s is out of range', spread), hint = 'Use 0 to 7 days.';
    end if;
    if dry_run then
        select count(*), count(distinct named.export_id) into jobs, exports
        from (
            select named.export_id from exportbox.jobs_where(states, state, kind, report, error_class, requested_by, since, before) as named
            limit at_most
        ) as named;
        return jsonb_build_object('jobs', jobs, 'exports', exports, 'more', false, 'until', before, 'dry_run', true);
    end if;
    picked := array(
        select named.id from exportbox.jobs_where(states, state, kind, report, error_class, requested_by, since, before) as named
        limit most);
    with back as materialized (
        select requeued.export_id, requeued.requeued from exportbox.requeue_jobs(picked, spread) as requeued
    ), told as (
        insert into exportbox.event (export_id, kind, detail)
        select back.export_id, 'requeued', format('%s jobs, among others', back.requeued) from back
    )
    select coalesce(sum(back.requeued), 0), count(*) into jobs, exports from back;
    if jobs > 0 then
        insert into exportbox.event (kind, detail) values ('requeued_where', format('%s jobs of %s exports: %s', jobs, exports,
            exportbox.filter_in_words(state, kind, report, error_class, requested_by, since, until)));
        perform exportbox.wake(now());
    end if;
    return jsonb_build_object('jobs', jobs, 'exports', exports, 'more', cardinality(picked) = most, 'until', before, 'dry_run', false);
end
$$;
comment on function exportbox.requeue_where(text, text, text, text, text, timestamptz, timestamptz, integer, interval, boolean) is
    'Requeue the dead and cancelled jobs that a filter names, at most 1000 a call; "more" says whether to call again, with "until" as it was returned. Spread sets them off within that time. Since and until are about their end.';

create function exportbox.cancel_where(
    state text default null,
    kind text default null,
    report text default null,
    error_class text default null,
    requested_by text default null,
    since timestamptz default null,
    until timestamptz default null,
    at_most integer default null,
    dry_run boolean default false
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    states constant text[] := '{pending,running}';
    -- What is requested from now on is not meant.
    before constant timestamptz := least(until, now());
    most constant integer := least(at_most, 1000);
    picked bigint[];
    jobs bigint;
    exports bigint;
    told record;
begin
    perform exportbox.check_filter(states, state, kind, report, error_class, requested_by, since, until, at_most);
    if dry_run then
        select count(*), count(distinct named.export_id) into jobs, exports
        from (
            select named.export_id from exportbox.jobs_where(states, state, kind, report, error_class, requested_by, since, before) as named
            limit at_most
        ) as named;
        return jsonb_build_object('jobs', jobs, 'exports', exports, 'more', false, 'until', before, 'dry_run', true);
    end if;
    picked := array(
        select named.id from exportbox.jobs_where(states, state, kind, report, error_class, requested_by, since, before) as named
        limit most);
    -- In the order in which everybody locks jobs. What has ended meanwhile is left out of what follows.
    perform from exportbox.job where job.id = any (picked) and job.state in ('pending', 'running') order by job.id for update;
    with stopping as materialized (
        select job.export_id, count(*) filter (where job.state = 'pending') as waiting, count(*) filter (where job.state = 'running') as running
        from exportbox.job
        where job.id = any (picked) and job.state in ('pending', 'running')
        group by job.export_id
    ), written as (
        insert into exportbox.event (export_id, kind, detail)
        select stopping.export_id, case when stopping.running > 0 then 'cancel_requested' else 'cancelled' end,
            format('%s waiting cancelled, %s running asked to stop, among others', stopping.waiting, stopping.running)
        from stopping
    )
    select count(*) into exports from stopping;
    select c.stopped, c.asked into told from exportbox.cancel_jobs(picked, 'Cancelled before it started.') as c;
    jobs := told.stopped + told.asked;
    if jobs > 0 then
        insert into exportbox.event (kind, detail) values ('cancelled_where', format('%s waiting cancelled, %s running asked to stop, of %s exports: %s',
            told.stopped, told.asked, exports, exportbox.filter_in_words(state, kind, report, error_class, requested_by, since, until)));
    end if;
    return jsonb_build_object('jobs', jobs, 'exports', exports, 'stopped', told.stopped, 'asked', told.asked,
        'more', cardinality(picked) = most, 'until', before, 'dry_run', false);
end
$$;
comment on function exportbox.cancel_where(text, text, text, text, text, timestamptz, timestamptz, integer, boolean) is
    'Cancel the waiting and running jobs that a filter names, at most 1000 a call; "more" says whether to call again, with "until" as it was returned. Since and until are about when they came to be.';

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
    again bigint[];
    anew text[];
    mails integer;
begin
    perform exportbox.assert_may_operate(relink.export_id);
    perform exportbox.assert_still_allowed(relink.export_id);
    -- Two at once count each other, and an erasure that has begun is waited for: it holds this row, too.
    perform from exportbox.job where job.export_id = relink.export_id and job.kind = 'export' for update;
    select outbox.* into request from exportbox.outbox where outbox.id = relink.export_id;
    select job.* into made from exportbox.job where job.export_id = relink.export_id and job.kind = 'export';
    perform exportbox.assert_linkable(made);
    addresses := case when relink.recipient is not null then array[exportbox.address_to_relink(request, made, btrim(relink.recipient))] else request.recipients end;

    -- A mail that failed has a fresh start, one that was sent has a successor, and one that is on its way is waited for.
    select array_agg(last.job_id) filter (where last.state in ('dead', 'cancelled')),
        array_agg(named.address) filter (where last.state is null or last.state = 'completed')
    into again, anew
    from (select distinct on (lower(address)) address from unnest(addresses) as address order by lower(address)) as named
    left join lateral (
        select delivery.job_id, job.state
        from exportbox.delivery
        join exportbox.job on job.id = delivery.job_id
        where delivery.export_id = relink.export_id and lower(delivery.recipient) = lower(named.address)
        order by delivery.job_id desc
        limit 1
    ) as last on true;
    with started as materialized (
        select requeued.requeued from exportbox.requeue_jobs(again, interval '0') as requeued
    ), successor as materialized (
        select nextval(pg_get_serial_sequence('exportbox.job', 'id')) as job_id, address from unnest(anew) as address
    ), queued as (
        insert into exportbox.job (id, export_id, kind, report, priority)
        select successor.job_id, made.export_id, 'delivery', made.report, made.priority from successor
    ), addressed as (
        insert into exportbox.delivery (job_id, export_id, recipient)
        select successor.job_id, made.export_id, successor.address from successor
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

revoke all on function exportbox.error_code(text),
    exportbox.jobs_where(text[], text, text, text, text, text, timestamptz, timestamptz),
    exportbox.check_filter(text[], text, text, text, text, text, timestamptz, timestamptz, integer),
    exportbox.filter_in_words(text, text, text, text, text, timestamptz, timestamptz),
    exportbox.requeue_where(text, text, text, text, text, timestamptz, timestamptz, integer, interval, boolean),
    exportbox.cancel_where(text, text, text, text, text, timestamptz, timestamptz, integer, boolean),
    exportbox.assert_linkable(exportbox.job), exportbox.address_to_relink(exportbox.outbox, exportbox.job, text), exportbox.relink(uuid, text) from public;
grant execute on function exportbox.error_code(text) to exportbox_reader, exportbox_requester, exportbox_operator;
grant execute on function exportbox.requeue_where(text, text, text, text, text, timestamptz, timestamptz, integer, interval, boolean),
    exportbox.cancel_where(text, text, text, text, text, timestamptz, timestamptz, integer, boolean) to exportbox_operator;
grant execute on function exportbox.relink(uuid, text) to exportbox_requester, exportbox_operator, exportbox_worker;
grant select on exportbox.dead to exportbox_reader, exportbox_requester, exportbox_operator;
