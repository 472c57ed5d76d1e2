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
