-- Mails about what failed: notices to the recipients of exports that died, and the operators' digest. Collected, so that a storm of failures is
-- no storm of mails. Each is a message job like any other.

create function exportbox.gather_failures(time_between interval) returns integer
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    gathered integer;
begin
    if not pg_try_advisory_xact_lock(hashtext('exportbox'), hashtext('notice')) then
        return 0;
    end if;
    -- A statement of its own: its snapshot is from after the lock, and sees what the turn before this one has gathered.
    with
    died as materialized (
        select job.id
        from exportbox.job
        where job.state = 'dead' and job.kind = 'export' and job.noticed_at is null and job.finished_at > now() - interval '1 day'
        order by job.finished_at, job.id
        limit 200
        for update skip locked
    ),
    noticed as (
        update exportbox.job
        set noticed_at = now() -- guard: noticed
        from died
        where job.id = died.id
    ),
    named as materialized (
        select wanted.export_id, lower(listed.address) as key, listed.address, listed.position
        from exportbox.recipients_now((select array_agg(died.id) from died)) as wanted
        cross join lateral unnest(wanted.recipients) with ordinality as listed (address, position)
    ),
    recipient as materialized (
        select named.key, (array_agg(named.address order by named.position, named.export_id))[1] as address
        from named
        group by named.key
    ),
    -- The notice of a recipient that nobody has begun to send. Locked, so that none is begun before what is put into it is committed.
    open as materialized (
        select message.id, lower(message.recipient) as key
        from recipient
        join exportbox.message on message.origin = 'failure' and lower(message.recipient) = recipient.key
        join exportbox.job on job.id = message.id
        where job.state = 'pending' and job.leases = 0
        for update of job skip locked
    ),
    new as materialized (
        select exportbox.new_id() as id, recipient.key, recipient.address, greatest(now(), (
                select max(message.planned_at) + time_between -- guard: time between
                from exportbox.message
                where message.origin = 'failure' and lower(message.recipient) = recipient.key)) as planned_at
        from recipient
        where not exists (select from open where open.key = recipient.key)
    ),
    -- What is not sent for three days is no news any more.
    queued as (
        insert into exportbox.job (id, kind, run_at, not_after)
        select new.id, 'message', new.planned_at, new.planned_at + interval '3 days' from new
    ),
    addressed as (
        insert into exportbox.message (id, origin, recipient, planned_at)
        select new.id, 'failure', new.address, new.planned_at from new
    ),
    listed as (
        insert into exportbox.message_export (message_id, export_id)
        select distinct notice.id, named.export_id
        from (select open.id, open.key from open union all select new.id, new.key from new) as notice
        join named on named.key = notice.key
        -- One that was brought back, and died again before its notice was sent, is in it already.
        on conflict do nothing
    )
    select count(*) into gathered from died;
    return gathered;
end
$$;
comment on function exportbox.gather_failures(interval) is
    'Put exports that died into notices to their recipients: one notice a recipient and time, at once when the last one is longer ago. By one process at a time; what others do meanwhile is found by the next. What died more than a day ago is not told any more. Returns how many exports: 200 at most.';
grant execute on function exportbox.gather_failures(interval) to exportbox_worker;

create view exportbox.notices with (security_barrier) as
select message.id, message.origin as kind, case when pg_has_role(current_user, 'exportbox_operator', 'usage') then message.recipient
        else exportbox.mask(message.recipient) end as recipient,
    message.status, coalesce(message.planned_at, job.created_at) as planned_at, coalesce(job.lease_expires_at, job.run_at) as due_at,
    message.covers_from, message.covers_until,
    (select count(*) from exportbox.message_export where message_export.message_id = message.id) as exports,
    job.leases as attempts, message.provider, message.message_id, message.error_class, message.error, job.created_at, job.finished_at
from exportbox.message
join exportbox.job on job.id = message.id
where message.origin in ('failure', 'digest') and pg_has_role(current_user, 'exportbox_reader', 'usage');
comment on view exportbox.notices is 'One row per mail about failures. Each is in exportbox.deliveries, too.';
comment on column exportbox.notices.id is 'The notice; the mail carries it.';
comment on column exportbox.notices.kind is 'failure: to a recipient of exports that died. digest: to an operator.';
comment on column exportbox.notices.recipient is 'The address, masked except for operators.';
comment on column exportbox.notices.status is 'pending, sending, unknown, accepted, dead or cancelled: nothing of it was dead any more, or the person was erased.';
comment on column exportbox.notices.planned_at is 'When it was to be sent at first.';
comment on column exportbox.notices.due_at is 'When it is to be sent (again); while it is being sent, the end of its lease.';
comment on column exportbox.notices.covers_from is 'Of a digest: what died from then on,';
comment on column exportbox.notices.covers_until is 'and before then.';
comment on column exportbox.notices.exports is 'Of a failure notice: how many exports it speaks of.';
comment on column exportbox.notices.attempts is 'How often it was started.';
comment on column exportbox.notices.provider is 'ses, smtp or file.';
comment on column exportbox.notices.message_id is 'The provider''s id.';
comment on column exportbox.notices.error_class is 'Class of the last error.';
comment on column exportbox.notices.error is 'The last error in words.';
comment on column exportbox.notices.created_at is 'When the first failure was put into it.';
comment on column exportbox.notices.finished_at is 'When nothing was to be done any more.';
grant select on exportbox.notices to exportbox_operator, exportbox_reader;
