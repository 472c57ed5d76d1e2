-- Operating many jobs at once: the dead letters with what to do about each, requeue and cancel by filter.

create function exportbox.error_code(error_detail text) returns text
language sql immutable
-- Written in front by the daemon, after a look at its characters; what comes after it is the other side's.
return substring(error_detail from '^\[([A-Za-z0-9. ]{1,64})\] ');
comment on function exportbox.error_code(text) is 'SQLSTATE, or the code of S3, SES or a mail server, of a raw error. Tells nothing else of it.';
grant execute on function exportbox.error_code(text) to exportbox_requester, exportbox_operator, exportbox_reader;

create view exportbox.dead with (security_barrier) as
select job.id as job_id, job.export_id, exportbox.shown_kind(job.kind) as kind, outbox.report, outbox.requested_by, job.error_class,
    exportbox.error_code(last.error_detail) as code, coalesce(first.error, job.error) as first_error, job.error as last_error,
    job.leases as attempts, job.finished_at as died_at, exportbox.remedy(job.error_class) as what_to_do
from exportbox.job
left join exportbox.outbox on outbox.id = job.export_id
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
comment on column exportbox.dead.export_id is 'The request it serves; null for a mail that announces no export.';
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
grant select on exportbox.dead to exportbox_requester, exportbox_operator, exportbox_reader;

create function exportbox.jobs_where(
    states text[], state text, kind text, report text, error_class text, requested_by text, since timestamptz, until timestamptz
) returns table (id uuid, export_id uuid)
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
    where (jobs_where.kind is null or exportbox.shown_kind(job.kind) = jobs_where.kind)
        -- What was stopped because a person was erased stays stopped.
        and not exists (select from exportbox.message where message.id = job.id and message.recipient like 'erased:%')
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
    picked uuid[];
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
        select back.export_id, 'requeued', format('%s jobs, among others', back.requeued) from back where back.export_id is not null
    )
    select coalesce(sum(back.requeued), 0), count(back.export_id) into jobs, exports from back;
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
grant execute on function exportbox.requeue_where(text, text, text, text, text, timestamptz, timestamptz, integer, interval, boolean)
    to exportbox_operator;

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
    picked uuid[];
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
        where stopping.export_id is not null
    )
    select count(stopping.export_id) into exports from stopping;
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
grant execute on function exportbox.cancel_where(text, text, text, text, text, timestamptz, timestamptz, integer, boolean) to exportbox_operator;
