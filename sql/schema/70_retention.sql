-- Retention: what is final and old enough goes, with all that hangs on it; its files follow, and what nobody finished.

create table exportbox.leftover (
    bucket    text not null,
    key       text not null,
    export_id uuid not null,
    left_at   timestamptz not null default now(),
    constraint leftover_pkey primary key (bucket, key)
);
comment on table exportbox.leftover is 'Files whose export was pruned. Written in the transaction that prunes, so that no file is forgotten; removed by a worker, and then from here.';
comment on column exportbox.leftover.bucket is 'Where it lies.';
comment on column exportbox.leftover.key is 'Its key.';
comment on column exportbox.leftover.export_id is 'The export that it was made by, which is no more.';
comment on column exportbox.leftover.left_at is 'When that was pruned.';
comment on index exportbox.leftover_pkey is 'Read by leftovers, forget_leftovers and prune; a file is put down once.';
grant select, delete on exportbox.leftover to exportbox_worker;

create table exportbox.chore (
    name   text not null,
    due_at timestamptz not null default now(),
    worker text,
    constraint chore_pkey primary key (name),
    constraint chore_known check (name in ('prune', 'leftovers', 'uploads'))
);
comment on table exportbox.chore is 'What is to be done now and then by one process, whichever comes first: no process is the one that must.';
comment on column exportbox.chore.name is 'prune: what is old enough; leftovers: files of pruned exports; uploads: what nobody finished.';
comment on column exportbox.chore.due_at is 'Not before this instant; whoever takes it moves it on.';
comment on column exportbox.chore.worker is 'Who took it last.';
comment on index exportbox.chore_pkey is 'Read by postpone_chore and prune.';
insert into exportbox.chore (name, due_at) values ('prune', now() + interval '1 hour'), ('leftovers', now() + interval '1 hour'), ('uploads', now() + interval '1 day');
grant select, update (due_at, worker) on exportbox.chore to exportbox_worker;

create function exportbox.prunable(completed interval, dead interval, cancelled interval, most integer, among uuid[] default null) returns setof uuid
language sql volatile set search_path = pg_catalog, pg_temp set jit = off
as $$
    -- "offset 0" keeps each question one of a single export, asked in the order of the index until there are enough: as joins they would be asked
    -- of all that is old, for each batch.
    with age (state, since) as (values ('completed', now() - completed), ('dead', now() - dead), ('cancelled', now() - cancelled))
    select old.id
    from age
    cross join lateral (
        select job.id
        from exportbox.job
        where job.kind = 'export' and job.state = age.state and job.finished_at <= age.since
            and (among is null or job.id = any (among))
            -- Each of its jobs is final, and as old as what ends so must be: a dead mail keeps its export as long as a dead export is kept.
            and not exists (
                select from exportbox.job as other
                left join age as wanted on wanted.state = other.state
                where other.export_id = job.id
                    and (other.finished_at <= wanted.since) is not true -- guard: other jobs
                offset 0)
            -- A link was promised.
            and not exists (
                select from exportbox.job as mail join exportbox.message on message.id = mail.id
                where mail.export_id = job.id
                    and message.link_expires_at > now() -- guard: promised link
                offset 0)
            -- What a losing attempt stored is not swept for the last time.
            and not exists (
                select from exportbox.attempt
                where attempt.job_id = job.id and (attempt.object_key is not null or attempt.backend_pid is not null)
                    and attempt.outcome <> 'completed' and attempt.sweep_after < 'infinity' offset 0)
            -- It must be kept, or somebody's address must be.
            and not exists (
                select from exportbox.legal_hold as hold
                where hold.export_id = job.id
                    or hold.address_hash is not null and exists (
                        select
                        from (
                            select unnest(outbox.recipients) from exportbox.outbox where outbox.id = job.id
                            union all
                            -- A new link may have gone to an address that the request does not name.
                            select message.recipient from exportbox.job as mail join exportbox.message on message.id = mail.id where mail.export_id = job.id
                        ) as mailed (address)
                        where exportbox.address_hash(mailed.address) = hold.address_hash)
                offset 0)
        order by job.finished_at
        limit coalesce(cardinality(among), most)
    ) as old
    limit most
$$;
comment on function exportbox.prunable(interval, interval, interval, integer, uuid[]) is
    'Exports that are final for so long and that nothing needs any more, the oldest of each state first. Volatile: sees what was committed meanwhile.';

create function exportbox.prune(
    completed interval default null,
    dead interval default null,
    cancelled interval default null,
    delete_objects boolean default true,
    most integer default 1000,
    dry_run boolean default false
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    old uuid[];
    notices uuid[];
    counts jsonb;
begin
    if num_nonnulls(completed, dead, cancelled) = 0 or least(completed, dead, cancelled) < interval '0' or coalesce(most, 0) < 1 then
        raise exception using errcode = 'EB085', message = 'it is not said what is old enough',
            hint = 'Give an age for each final state that shall go: select exportbox.prune(completed => ''90 days'', dead => ''180 days'');';
    end if;
    perform exportbox.assert_read_committed();
    -- A legal hold is placed before, and seen, or after, and finds nothing.
    perform pg_advisory_xact_lock_shared(hashtext('exportbox'), hashtext('hold'));
    old := array(select p from exportbox.prunable(completed, dead, cancelled, most) as p);
    if not dry_run then
        -- What somebody holds is left for later; what nobody does stays as it is until this ends.
        with held as materialized (
            select job.id, job.export_id from exportbox.job where job.export_id = any (old) order by job.id for update skip locked
        ), whole as (
            select held.export_id from held group by held.export_id
            having count(*) = (select count(*) from exportbox.job where job.export_id = held.export_id)
        )
        select coalesce(array_agg(whole.export_id), '{}') into old from whole;
        -- And once more, for what had come between.
        old := array(select p from exportbox.prunable(completed, dead, cancelled, most, old) as p);
    end if;
    select jsonb_build_object('exports', cardinality(old), 'completed', 0, 'dead', 0, 'cancelled', 0)
        || coalesce((select jsonb_object_agg(by_state.state, by_state.exports) from (
            select job.state, count(*) as exports from exportbox.job where job.id = any (old) group by job.state) as by_state), '{}')
        || (select jsonb_build_object('files', count(*), 'bytes', coalesce(sum(object.bytes), 0)) from exportbox.object where object.export_id = any (old))
    into counts;
    -- Mails that announce no export have nothing that hangs on them.
    notices := array(
        select job.id
        from (values ('completed', now() - completed), ('dead', now() - dead), ('cancelled', now() - cancelled)) as age (state, since)
        join exportbox.job on job.kind = 'message' and job.export_id is null and job.state = age.state and job.finished_at <= age.since
        limit most);
    counts := counts || jsonb_build_object('notices', cardinality(notices), 'dry_run', dry_run);
    if dry_run then
        return counts;
    end if;
    delete from exportbox.job where job.id = any (notices);
    if cardinality(old) = 0 then
        return counts;
    end if;
    if delete_objects then -- guard: files
        insert into exportbox.leftover (bucket, key, export_id)
        select object.bucket, object.key, object.export_id from exportbox.object where object.export_id = any (old)
        on conflict do nothing;
        update exportbox.chore set due_at = least(chore.due_at, now()) where chore.name = 'leftovers';
    end if;
    -- What only its own story needed; what somebody did to it stays in the audit, and so does that it was.
    delete from exportbox.event where event.export_id = any (old)
        and event.kind in ('reaped', 'unknown', 'link_cut', 'expired', 'dead', 'held', 'released');
    delete from exportbox.outbox where outbox.id = any (old);
    return counts;
end
$$;
comment on function exportbox.prune(interval, interval, interval, boolean, integer, boolean) is
    'Delete exports that are final for so long, with all that hangs on them; null keeps a state for ever. Their files are removed by a worker, unless a lifecycle rule does. Returns counts; a dry run only says them.';
grant execute on function exportbox.prune(interval, interval, interval, boolean, integer, boolean) to exportbox_worker, exportbox_operator;
