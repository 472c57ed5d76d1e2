-- What may start: the same for the claim, for the question what is next due, and for exportbox.explain. is_open and is_startable are functions of
-- one expression, which the planner writes into the statement that calls them: the claim's plan is the same as if they stood there.

create function exportbox.places_on_source(most integer) returns integer
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(hashtext('exportbox'), hashtext('source')); -- guard: lock of the cap
    -- A statement of its own: its snapshot is from after the lock, and sees what the claim before this one has taken.
    return greatest(0, most - (select count(*) from exportbox.job where job.state = 'running' and job.kind = 'export'))::integer;
end
$$;
comment on function exportbox.places_on_source(integer) is
    'How many more exports may start when so many may run over all processes. Claims that ask wait for each other until they have committed.';
grant execute on function exportbox.places_on_source(integer) to exportbox_worker;

create function exportbox.crash_limit() returns smallint
language sql immutable parallel safe
return 3::smallint;
comment on function exportbox.crash_limit() is 'Leases of a job that may expire before it is dead: it may be what kills its workers.';
grant execute on function exportbox.crash_limit() to exportbox_worker;

create function exportbox.is_open(job exportbox.job, closed_reports text[], closed_sources text[]) returns boolean
language sql stable
return not coalesce(job.report = any (closed_reports), false) -- guard: paused report
    and not coalesce(coalesce(job.source, 'default') = any (closed_sources), false);
comment on function exportbox.is_open(exportbox.job, text[], text[]) is 'Whether a job is of no report and no source that is closed; null: none is.';
grant execute on function exportbox.is_open(exportbox.job, text[], text[]) to exportbox_worker, exportbox_operator, exportbox_reader;

create function exportbox.is_startable(job exportbox.job, may_take_last_chance boolean, closed_reports text[], closed_sources text[])
returns boolean
language sql stable
return job.run_at <= now()
    and (job.not_after is null or job.not_after > now() or job.started_at is not null)
    and (job.crashes + 1 < exportbox.crash_limit() or may_take_last_chance)
    and exportbox.is_open(job, closed_reports, closed_sources);
comment on function exportbox.is_startable(exportbox.job, boolean, text[], text[]) is
    'Whether a pending job may start now, if its kind may. A job that the next crash would bury only where that is allowed.';
grant execute on function exportbox.is_startable(exportbox.job, boolean, text[], text[]) to exportbox_worker;

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
grant execute on function exportbox.expected_time(text) to exportbox_worker;

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
                where lane.kind = 'export'
                    and lanes.time_left_ms is not null -- guard: time left
                    and exportbox.expected_time(catalogue.name) > lanes.time_left_ms * interval '1 millisecond'
            ) as closed
        ),
        case lane.kind when 'export' then (
            select array_agg(substr(pause.scope, 8)) from exportbox.pause where pause.scope like 'source:%') end
    from (values ('export', 'exports'), ('message', 'deliveries')) as lane (kind, scope)
    left join exportbox.control as held on held.scope = lane.kind;
end;
comment on function exportbox.lanes(bigint) is
    'Each kind of job: paused, on hold, and which reports and sources are closed: what people have paused, and reports that take longer than the time left (null: no limit).';
grant execute on function exportbox.lanes(bigint) to exportbox_worker;

create function exportbox.open_lanes()
returns table (kind text, is_paused boolean, closed_reports text[], closed_sources text[])
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select lanes.kind, lanes.is_paused, lanes.closed_reports, lanes.closed_sources from exportbox.lanes(null) as lanes $$;
comment on function exportbox.open_lanes() is 'What is paused, for views of people who may not read the tables.';
grant execute on function exportbox.open_lanes() to exportbox_operator, exportbox_reader;
