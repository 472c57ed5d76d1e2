-- What operators and requesters may do to an export. Everything leaves an event with the role that acted.

-- A body without quotes is bound to these very operators now. One in quotes would be read by the search path of whoever looks, who could
-- bring an equality of its own and see everything.
create function exportbox.may_see(requested_by text) returns boolean
language sql stable
return requested_by = current_user or pg_has_role(current_user, 'exportbox_reader', 'usage');
comment on function exportbox.may_see(text) is 'Readers see every export, others their own.';

create function exportbox.mask(address text) returns text
language sql immutable parallel safe
return case when address like 'erased:%' then 'erased' else left(address, 1) || '***@' || split_part(address, '@', 2) end;
comment on function exportbox.mask(text) is 'a***@example.com';

create function exportbox.assert_may_operate(export_id uuid) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    requester text;
begin
    select outbox.requested_by into requester from exportbox.outbox where outbox.id = assert_may_operate.export_id;
    -- A login that has become one tenant's role acts for that tenant alone.
    if requester is null or not (requester = exportbox.acting_role() or pg_has_role(exportbox.acting_role(), 'exportbox_operator', 'usage')
        or exists (select from pg_roles where rolname = requester and pg_has_role(exportbox.acting_role(), pg_roles.oid, 'usage'))) then
        raise exception using errcode = 'EB061', message = format('there is no export %s, or it is not yours', assert_may_operate.export_id),
            hint = 'Look it up in exportbox.exports.';
    end if;
end
$$;
comment on function exportbox.assert_may_operate(uuid) is 'Operators act on every export, requesters on their own.';

create function exportbox.assert_still_allowed(export_id uuid) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    request exportbox.outbox;
    latest exportbox.report;
begin
    -- Operators act in their own right.
    if pg_has_role(exportbox.acting_role(), 'exportbox_operator', 'usage') then
        return;
    end if;
    select o.* into request from exportbox.outbox as o where o.id = assert_still_allowed.export_id;
    if request.report is null then
        if not exists (select from pg_roles where rolname = request.requested_by and pg_has_role(request.requested_by, 'exportbox_adhoc', 'usage')) then
            raise exception using errcode = 'EB003', message = format('role "%s" may not send queries of its own any more', request.requested_by),
                hint = 'Ask an operator.';
        end if;
        return;
    end if;
    select r.* into latest from exportbox.report as r where r.name = request.report order by r.version desc limit 1;
    if latest.disabled_at is not null then
        raise exception using errcode = 'EB002', message = format('report "%s" takes no requests any more', request.report), hint = 'Ask an operator.';
    end if;
    perform exportbox.check_requester(request.requested_by, latest);
    perform exportbox.check_limits(request, latest);
end
$$;
comment on function exportbox.assert_still_allowed(uuid) is 'Refuse to bring back a request that would be refused today: a parked request is no store of old rights.';

create function exportbox.cancel_jobs(jobs bigint[], reason text, out stopped integer, out asked integer)
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    -- Nothing may go from running back to pending between the two steps: it would be missed by both.
    perform from exportbox.job where job.id = any (jobs) and job.state in ('pending', 'running') order by job.id for update;
    -- Found by their ids: that so many wait may be news to the planner, who would read all that wait.
    with held as materialized (
        select job.id, job.state from exportbox.job where job.id = any (jobs)
    ), cancelled as (
        update exportbox.job set state = 'cancelled', finished_at = now(), error_class = 'cancelled', error = reason
        from held where job.id = held.id and held.state = 'pending'
        returning job.id
    ), undelivered as (
        update exportbox.delivery set status = 'cancelled', updated_at = now()
        from cancelled where delivery.job_id = cancelled.id
        returning delivery.job_id
    )
    select count(*) into stopped from cancelled;
    with flagged as (
        update exportbox.job set cancel_requested_at = coalesce(job.cancel_requested_at, now())
        where job.id = any (jobs) and job.lease_token is not null
        returning job.worker
    ), told as (
        -- Makes the heartbeat look at once; without it the flag is read at the next beat.
        select pg_notify(worker.channel, 'cancel') from exportbox.worker where worker.id in (select flagged.worker from flagged)
    )
    select count(*) into asked from flagged left join told on true;
end
$$;
comment on function exportbox.cancel_jobs(bigint[], text) is 'Cancels what waits and asks what runs to stop. For functions that have checked who may.';

create function exportbox.cancel(export_id uuid) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    told record;
begin
    perform exportbox.assert_may_operate(cancel.export_id);
    select c.stopped, c.asked into told
    from exportbox.cancel_jobs(array(select job.id from exportbox.job where job.export_id = cancel.export_id), 'Cancelled before it started.') as c;
    if told.stopped + told.asked > 0 then
        insert into exportbox.event (export_id, kind, detail) values (cancel.export_id,
            case when told.asked > 0 then 'cancel_requested' else 'cancelled' end,
            format('%s waiting cancelled, %s running asked to stop', told.stopped, told.asked));
    end if;
    return case when told.asked > 0 then 'cancelling' when told.stopped > 0 then 'cancelled' else 'nothing to cancel' end;
end
$$;
comment on function exportbox.cancel(uuid) is 'Stop an export and its mails. Durable: what runs is stopped by its worker, or by whoever reaps it. Returns cancelled, cancelling or nothing to cancel.';

create function exportbox.requeue_jobs(jobs bigint[], spread interval) returns table (export_id uuid, requeued bigint)
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- In the order in which everybody locks jobs, so that no two wait for each other. What follows sees what was done to those that this waited for.
    perform from exportbox.job where job.id = any (jobs) and job.state in ('dead', 'cancelled') order by job.id for update;
    return query
    with back as (
        update exportbox.job set state = 'pending', run_at = now() + random() * requeue_jobs.spread, not_after = null, attempt = 0, crashes = 0,
            finished_at = null, cancel_requested_at = null, error_class = null, error = null, noticed_at = null
        where job.id = any (jobs) and job.state in ('dead', 'cancelled')
            -- What was stopped because a person was erased stays stopped.
            and not exists (select from exportbox.delivery where delivery.job_id = job.id and delivery.recipient like 'erased:%')
            and not exists (select from exportbox.erased_export where erased_export.export_id = job.export_id and erased_export.is_stopped)
        returning job.id, job.export_id
    ), redelivered as (
        update exportbox.delivery set status = 'pending', error_class = null, error = null, updated_at = now()
        from back where delivery.job_id = back.id
        returning delivery.job_id
    )
    select back.export_id, count(*) from back group by back.export_id;
end
$$;
comment on function exportbox.requeue_jobs(bigint[], interval) is
    'A fresh start for those that are dead or cancelled, each somewhere within that time from now. For functions that have checked who may.';

create function exportbox.requeue(export_id uuid) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    requeued integer;
begin
    perform exportbox.assert_may_operate(requeue.export_id);
    perform exportbox.assert_still_allowed(requeue.export_id);
    select coalesce(sum(back.requeued), 0) into requeued
    from exportbox.requeue_jobs(array(select job.id from exportbox.job where job.export_id = requeue.export_id), interval '0') as back;
    if requeued > 0 then
        insert into exportbox.event (export_id, kind, detail) values (requeue.export_id, 'requeued', format('%s jobs', requeued));
        perform exportbox.wake(now());
    end if;
    return requeued;
end
$$;
comment on function exportbox.requeue(uuid) is 'Give the dead and cancelled jobs of an export a fresh start, with all their attempts. Returns how many.';

create function exportbox.places_on_source(most integer) returns integer
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(hashtext('exportbox'), hashtext('source'));
    -- A statement of its own: its snapshot is from after the lock, and sees what the claim before this one has taken.
    return greatest(0, most - (select count(*) from exportbox.job where job.state = 'running' and job.kind = 'export'))::integer;
end
$$;
comment on function exportbox.places_on_source(integer) is
    'How many more exports may start when so many may run over all processes. Claims that ask wait for each other until they have committed.';

-- What may start: the same for the claim, for whoever asks what is next, and for exportbox.explain. Functions of one expression, which the
-- planner writes into the statement that calls them: the claim's plan is the same as if they stood there.
create function exportbox.is_open(job exportbox.job, closed_reports text[], closed_sources text[]) returns boolean
language sql stable
return not coalesce(job.report = any (closed_reports), false)
    and not coalesce(coalesce(job.source, 'default') = any (closed_sources), false);
comment on function exportbox.is_open(exportbox.job, text[], text[]) is 'Whether a job is of no report and no source that is closed; null: none is.';

create function exportbox.is_startable(job exportbox.job, crash_limit smallint, may_take_last_chance boolean, closed_reports text[], closed_sources text[])
returns boolean
language sql stable
return job.run_at <= now()
    and (job.not_after is null or job.not_after > now() or job.started_at is not null)
    and (job.crashes + 1 < crash_limit or may_take_last_chance)
    and exportbox.is_open(job, closed_reports, closed_sources);
comment on function exportbox.is_startable(exportbox.job, smallint, boolean, text[], text[]) is
    'Whether a pending job may start now, if its kind may. A job that the next crash would bury only where that is allowed.';

create function exportbox.expected_time(report text) returns interval
language sql stable
begin atomic
    select percentile_cont(0.9) within group (order by recent.took)
    from (
        select attempt.finished_at - attempt.started_at as took
        from exportbox.job
        join exportbox.attempt on attempt.job_id = job.id and attempt.number = job.leases
        where job.state = 'completed' and job.kind = 'export' and job.report = expected_time.report
        order by job.finished_at desc
        limit 20
    ) as recent;
end;
comment on function exportbox.expected_time(text) is 'What nine of ten of the last twenty exports of a report took at most; null: none has completed.';

create function exportbox.lanes(time_left_ms bigint)
returns table (kind text, is_paused boolean, is_held boolean, probe_at timestamptz, closed_reports text[], closed_sources text[])
language sql stable
begin atomic
    select lane.kind,
        exists (select from exportbox.pause where pause.scope in ('all', lane.scope)),
        held.scope is not null,
        held.probe_at,
        (
            select array_agg(closed.report)
            from (
                select substr(pause.scope, 8) as report
                from exportbox.pause
                where pause.scope like 'report:%'
                union all
                select catalogue.name
                from (select distinct report.name from exportbox.report) as catalogue
                where lane.kind = 'export' and lanes.time_left_ms is not null
                    and exportbox.expected_time(catalogue.name) > lanes.time_left_ms * interval '1 millisecond'
            ) as closed
        ),
        case lane.kind when 'export' then (
            select array_agg(substr(pause.scope, 8)) from exportbox.pause where pause.scope like 'source:%') end
    from (values ('export', 'exports'), ('delivery', 'deliveries')) as lane (kind, scope)
    left join exportbox.control as held on held.scope = lane.kind;
end;
comment on function exportbox.lanes(bigint) is
    'Each kind of job: paused, on hold, and which reports and sources are closed: what people have paused, and reports that take longer than the time left (null: no limit).';

create function exportbox.open_lanes()
returns table (kind text, is_paused boolean, closed_reports text[], closed_sources text[])
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select lanes.kind, lanes.is_paused, lanes.closed_reports, lanes.closed_sources from exportbox.lanes(null) as lanes $$;
comment on function exportbox.open_lanes() is 'What is paused, for views of people who may not read the tables.';

create function exportbox.pause(scope text, reason text default null) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    named constant text := substr(pause.scope, 8);
begin
    if pause.scope is null or pause.scope !~ '^(all|exports|deliveries|report:.+|source:.+)$' then
        raise exception using errcode = 'EB065', message = format('"%s" is nothing that can be paused', pause.scope),
            hint = 'Use all, exports, deliveries, report:NAME or source:NAME.';
    end if;
    if pause.scope like 'report:%' and not exists (select from exportbox.report where report.name = named) then
        raise exception using errcode = 'EB065', message = format('there is no report "%s"', named), hint = 'List them with: exportbox report list';
    end if;
    if pause.scope like 'source:%' and named <> 'default' and not exists (select from exportbox.report where report.source = named) then
        raise exception using errcode = 'EB065', message = format('no report runs on a source "%s"', named),
            hint = 'Use default, or a name from the source column of exportbox.report.';
    end if;
    if pause.reason ~ '@' or length(pause.reason) > 500 then
        raise exception using errcode = 'EB065', message = 'the reason holds an address or more than 500 characters',
            hint = 'Everybody who asks why something waits reads it: name a ticket.';
    end if;
    insert into exportbox.pause as p (scope, reason) values (pause.scope, nullif(btrim(pause.reason), '')) on conflict on constraint pause_scope_once do nothing;
    if not found then
        return false;
    end if;
    insert into exportbox.event (kind, detail) values ('paused', concat_ws(': ', pause.scope, nullif(btrim(pause.reason), '')));
    return true;
end
$$;
comment on function exportbox.pause(text, text) is
    'Start nothing more of all, exports, deliveries, report:NAME (its mails too) or source:NAME, until it is resumed. What runs goes on. False: it is paused already.';

create function exportbox.resume(scope text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from exportbox.pause as p where p.scope = resume.scope;
    if not found then
        return false;
    end if;
    insert into exportbox.event (kind, detail) values ('resumed', resume.scope);
    perform exportbox.wake(now());
    return true;
end
$$;
comment on function exportbox.resume(text) is 'End a pause of just that name; others stay. False: there is none.';

create function exportbox.set_priority(export_id uuid, priority integer) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    moved integer;
begin
    perform exportbox.assert_may_operate(set_priority.export_id);
    if set_priority.priority is null or set_priority.priority not between 0 and 9 then
        raise exception using errcode = 'EB031', message = format('priority %s is out of range', set_priority.priority),
            hint = 'Use 0 (first) to 9 (last); the default is 5.';
    end if;
    update exportbox.job set priority = set_priority.priority
    where job.export_id = set_priority.export_id and job.state = 'pending' and job.priority <> set_priority.priority;
    get diagnostics moved = row_count;
    if moved > 0 then
        insert into exportbox.event (export_id, kind, detail)
        values (set_priority.export_id, 'priority_set', format('%s waiting to priority %s', moved, set_priority.priority));
        perform exportbox.wake(now());
    end if;
    return moved;
end
$$;
comment on function exportbox.set_priority(uuid, integer) is
    'Put what waits of an export before or behind others: 0 (first) to 9. Returns how many jobs that moved; what runs and what is done has none.';
