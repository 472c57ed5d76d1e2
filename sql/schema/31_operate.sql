-- What operators and requesters may do to an export. Everything leaves an event with the role that acted.

create function exportbox.assert_may_operate(export_id uuid) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    requester text;
begin
    select outbox.requested_by into requester
    from exportbox.job
    left join exportbox.outbox on outbox.id = job.export_id
    where job.id = assert_may_operate.export_id;
    -- A login that has become one tenant's role acts for that tenant alone. A mail that announces no export is the operators'.
    if not found or not coalesce(requester = exportbox.acting_role() or pg_has_role(exportbox.acting_role(), 'exportbox_operator', 'usage')
        or exists (select from pg_roles where rolname = requester and pg_has_role(exportbox.acting_role(), pg_roles.oid, 'usage')), false) then
        raise exception using errcode = 'EB061', message = format('there is no export %s, or it is not yours', assert_may_operate.export_id),
            hint = 'Look it up in exportbox.exports.';
    end if;
end
$$;
comment on function exportbox.assert_may_operate(uuid) is 'Operators act on every export and mail, requesters on their own.';

create function exportbox.record_act(job_id uuid, kind text, detail text) returns void
language sql volatile set search_path = pg_catalog, pg_temp
as $$
    insert into exportbox.event (export_id, job_id, kind, detail)
    select job.export_id, case job.kind when 'message' then job.id end, record_act.kind, record_act.detail
    from exportbox.job
    where job.id = record_act.job_id
$$;
comment on function exportbox.record_act(uuid, text, text) is 'Leaves in the history what somebody did to an export, or to one mail.';

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
    select o.* into request from exportbox.outbox as o
    where o.id = (select job.export_id from exportbox.job where job.id = assert_still_allowed.export_id);
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

create function exportbox.cancel_jobs(jobs uuid[], reason text, out stopped integer, out asked integer)
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
        update exportbox.message set status = 'cancelled', updated_at = now()
        from cancelled where message.id = cancelled.id
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
comment on function exportbox.cancel_jobs(uuid[], text) is 'Cancels what waits and asks what runs to stop. For functions that have checked who may.';

create function exportbox.cancel(export_id uuid) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    told record;
begin
    perform exportbox.assert_may_operate(cancel.export_id); -- guard: may cancel
    select c.stopped, c.asked into told
    from exportbox.cancel_jobs(array(select exportbox.jobs_of(cancel.export_id)), 'Cancelled before it started.') as c;
    if told.stopped + told.asked > 0 then
        perform exportbox.record_act(cancel.export_id, case when told.asked > 0 then 'cancel_requested' else 'cancelled' end,
            format('%s waiting cancelled, %s running asked to stop', told.stopped, told.asked));
    end if;
    return case when told.asked > 0 then 'cancelling' when told.stopped > 0 then 'cancelled' else 'nothing to cancel' end;
end
$$;
comment on function exportbox.cancel(uuid) is 'Stop an export and its mails, or one mail by its id. Durable: what runs is stopped by its worker, or by whoever reaps it. Returns cancelled, cancelling or nothing to cancel.';
grant execute on function exportbox.cancel(uuid) to exportbox_requester, exportbox_worker, exportbox_operator;

create function exportbox.requeue_jobs(jobs uuid[], spread interval) returns table (export_id uuid, requeued bigint)
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- In the order in which everybody locks jobs, so that no two wait for each other. What follows sees what was done to those that this waited for.
    -- guard: locked before it is judged
    perform from exportbox.job where job.id = any (jobs) and job.state in ('dead', 'cancelled') order by job.id for update;
    return query
    with back as (
        update exportbox.job set state = 'pending', run_at = now() + random() * requeue_jobs.spread, not_after = null, attempt = 0, crashes = 0,
            finished_at = null, cancel_requested_at = null, error_class = null, error = null, noticed_at = null
        where job.id = any (jobs) and job.state in ('dead', 'cancelled')
            -- What was stopped because a person was erased stays stopped.
            -- guard: erased recipient
            and not exists (select from exportbox.message where message.id = job.id and message.recipient like 'erased:%')
            -- guard: erased request
            and not exists (select from exportbox.erased_export where erased_export.export_id = job.export_id and erased_export.is_stopped)
        returning job.id, job.export_id
    ), redelivered as (
        update exportbox.message set status = 'pending', error_class = null, error = null, updated_at = now()
        from back where message.id = back.id
    )
    select back.export_id, count(*) from back group by back.export_id;
end
$$;
comment on function exportbox.requeue_jobs(uuid[], interval) is
    'A fresh start for those that are dead or cancelled, each somewhere within that time from now. For functions that have checked who may.';

create function exportbox.requeue(export_id uuid) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    requeued integer;
begin
    perform exportbox.assert_may_operate(requeue.export_id);
    perform exportbox.assert_still_allowed(requeue.export_id); -- guard: still allowed
    select coalesce(sum(back.requeued), 0) into requeued
    from exportbox.requeue_jobs(array(select exportbox.jobs_of(requeue.export_id)), interval '0') as back;
    if requeued > 0 then
        perform exportbox.record_act(requeue.export_id, 'requeued', format('%s jobs', requeued));
        perform exportbox.wake(now());
    end if;
    return requeued;
end
$$;
comment on function exportbox.requeue(uuid) is 'Give the dead and cancelled jobs of an export, or one mail by its id, a fresh start with all their attempts. Returns how many.';
grant execute on function exportbox.requeue(uuid) to exportbox_requester, exportbox_worker, exportbox_operator;

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
    where job.id = any (array(select exportbox.jobs_of(set_priority.export_id))) and job.state = 'pending' and job.priority <> set_priority.priority;
    get diagnostics moved = row_count;
    if moved > 0 then
        perform exportbox.record_act(set_priority.export_id, 'priority_set', format('%s waiting to priority %s', moved, set_priority.priority));
        perform exportbox.wake(now());
    end if;
    return moved;
end
$$;
comment on function exportbox.set_priority(uuid, integer) is
    'Put what waits of an export before or behind others: 0 (first) to 9. Returns how many jobs that moved; what runs and what is done has none.';
grant execute on function exportbox.set_priority(uuid, integer) to exportbox_worker, exportbox_operator;
