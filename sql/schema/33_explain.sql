-- Why a job waits, in words, over the same functions that the claim starts jobs by (30_claim.sql).

create function exportbox.in_words(at timestamptz) returns text
language sql stable
return to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC';
comment on function exportbox.in_words(timestamptz) is 'An instant as sentences have it.';

create function exportbox.remedy(error_class text) returns text
language sql immutable
-- The one place of these sentences: docs/operations/error-classes.md repeats them, and a test compares the two.
return case error_class
    when 'query' then 'Request a corrected query; this one would fail again.'
    when 'permission' then 'Grant the role what the query needs, then requeue.'
    when 'role' then 'Grant that role to the daemon''s login on the source.'
    when 'source_config' then 'Name the source in EXPORTBOX_SOURCES of every daemon.'
    when 'timeout' then 'Make the query faster, or request it with a longer timeout; requeue it when the server was just busy.'
    when 'source_unavailable' then 'Nothing if it passes, else look at network and server; requeue what has died meanwhile.'
    when 'replica_conflict' then 'Requeue; on a replica raise max_standby_streaming_delay.'
    when 'source_overloaded' then 'Use fewer slots or a larger server, then requeue with a spread.'
    when 'aws_s3_config' then 'Create the extension or grant it, or set EXPORTBOX_EXPORTER=auto.'
    when 'store_unavailable' then 'Look at network, endpoint and quota, then requeue.'
    when 'store_throttled' then 'Nothing if it passes, else requeue with a spread.'
    when 'store_config' then 'Correct EXPORTBOX_BUCKET, AWS_REGION or AWS_REQUEST_CHECKSUM_CALCULATION.'
    when 'store_access' then 'Correct the policy, the role, the key or the credentials.'
    when 'verification' then 'Requeue; if it lasts, look at the lifecycle rule for unfinished uploads.'
    when 'file_gone' then 'Request the export again.'
    when 'too_large' then 'Narrow the parameters, or raise max_rows, max_bytes or EXPORTBOX_PART_SIZE.'
    when 'mail_throttled' then 'Nothing, or use fewer mail slots, or ask the provider for more.'
    when 'mail_unavailable' then 'Look at network, host, port and firewall, then requeue.'
    when 'mail_unknown' then 'Ask the recipient whether the mail came; requeue sends it again.'
    when 'mail_rejected' then 'Correct the address and request it again; in the sandbox of SES, ask AWS for production access.'
    when 'mail_suppressed' then 'Take the address off the provider''s list, then requeue.'
    when 'mail_config' then 'Do what the sentence says.'
    when 'internal' then 'Read the raw error in exportbox show and the log, then requeue.'
    when 'crashed' then 'See why its workers ended, such as too little memory, then requeue.'
    when 'unknown' then 'Ask the recipient whether the mail came; requeue sends it again.'
end;
comment on function exportbox.remedy(text) is 'What to do about a class of errors, in a sentence. Null: not a class that anything dies of.';
grant execute on function exportbox.remedy(text) to exportbox_requester, exportbox_operator, exportbox_reader;

create function exportbox.capacity()
returns table (is_alive boolean, seen_at timestamptz, source_slots integer, time_left_ms bigint)
language sql stable
begin atomic
    select
        works.alive > 0 or exists (select from exportbox.job where job.state = 'running' and job.lease_expires_at > now()),
        greatest(works.seen_at, last.finished_at),
        case when works.alive > 0 then works.source_slots else last.source_slots end,
        -- A daemon has all the time; where there is only drains, the next one has as much as the last.
        case when works.alive = 0 then (extract(epoch from last.max_runtime) * 1000)::bigint end
    from (
        select max(worker.seen_at) as seen_at,
            count(*) filter (where worker.seen_at > now() - interval '2 minutes' or worker.waiting_until > now()) as alive,
            case when not coalesce(bool_or(worker.source_slots is null) filter (
                    where worker.seen_at > now() - interval '2 minutes' or worker.waiting_until > now()), false)
                then max(worker.source_slots) filter (where worker.seen_at > now() - interval '2 minutes' or worker.waiting_until > now())
            end as source_slots
        from exportbox.worker
    ) as works
    left join (
        select last_drain.ended_at as finished_at, last_drain.max_runtime, last_drain.source_slots
        from exportbox.last_drain
    ) as last on true;
end;
comment on function exportbox.capacity() is 'Who works: daemons with a sign of life, else the last drain; how many exports they let run at once, and how long the drain had.';

create function exportbox.jobs_ahead(job exportbox.job, closed_reports text[], closed_sources text[]) returns bigint
language sql stable
begin atomic
    select count(*)
    from exportbox.job as other
    where other.state = 'pending' and other.kind = jobs_ahead.job.kind
        and (other.priority, other.run_at, other.id) < (jobs_ahead.job.priority, jobs_ahead.job.run_at, jobs_ahead.job.id)
        and exportbox.is_startable(other, true, closed_reports, closed_sources);
end;
comment on function exportbox.jobs_ahead(exportbox.job, text[], text[]) is 'How many of its kind a claim takes before this job.';

create function exportbox.assert_may_look(export_id uuid) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    requester text;
begin
    select outbox.requested_by into requester
    from exportbox.job
    left join exportbox.outbox on outbox.id = job.export_id
    where job.id = assert_may_look.export_id;
    if not found or not coalesce(requester = exportbox.acting_role() or pg_has_role(exportbox.acting_role(), 'exportbox_reader', 'usage'), false) then
        raise exception using errcode = 'EB061', message = format('there is no export %s, or it is not yours', assert_may_look.export_id),
            hint = 'Look it up in exportbox.exports.';
    end if;
end
$$;
comment on function exportbox.assert_may_look(uuid) is 'Readers look at every export, requesters at their own: as in the views.';

create function exportbox.explain_pending(export_id uuid)
returns table (job_id uuid, is_due boolean, reason text, sentence text, what_to_do text, since timestamptz, until timestamptz)
language sql stable
begin atomic
    with
    capacity as materialized (
        select capacity.is_alive, capacity.seen_at, capacity.source_slots, capacity.time_left_ms from exportbox.capacity() as capacity
    ),
    -- How many a claim with any number of slots would take; null: all.
    place as materialized (
        select lanes.kind, lanes.is_paused, lanes.is_held, lanes.probe_at, lanes.closed_reports, lanes.closed_sources, taken.places as free,
            case
                when lanes.is_paused then 0
                when lanes.is_held then (lanes.probe_at is not null and lanes.probe_at <= now() and coalesce(taken.places, 1) > 0)::integer
                else taken.places
            end as places
        from capacity
        cross join lateral exportbox.lanes(capacity.time_left_ms) as lanes
        cross join lateral (
            select case when lanes.kind = 'export' and capacity.source_slots is not null then greatest(0, capacity.source_slots
                - (select count(*) from exportbox.job where job.state = 'running' and job.kind = 'export') -- guard: running exports
                )::integer end as places
        ) as taken
    ),
    waiting as materialized (
        select job.id, place.places, place.free,
            exportbox.is_startable(job, true, place.closed_reports, place.closed_sources) as is_startable,
            exportbox.jobs_ahead(job, place.closed_reports, place.closed_sources) as ahead,
            -- Of those that the next crash would bury a process takes one at a time.
            case when job.crashes + 1 >= exportbox.crash_limit() then (
                select other.id
                from place as lane
                join exportbox.job as other on other.kind = lane.kind
                where other.state = 'pending' and other.crashes + 1 >= exportbox.crash_limit()
                    and (other.priority, other.run_at, other.id) < (job.priority, job.run_at, job.id)
                    and exportbox.is_startable(other, true, lane.closed_reports, lane.closed_sources)
                    and (lane.places is null or exportbox.jobs_ahead(other, lane.closed_reports, lane.closed_sources) < lane.places)
                order by other.priority, other.run_at, other.id
                limit 1
            ) end as goes_alone_after
        from exportbox.job
        join place on place.kind = job.kind
        where (job.export_id = explain_pending.export_id or job.id = explain_pending.export_id) and job.state = 'pending'
    ),
    judged as (
        select waiting.id, waiting.ahead, waiting.places, waiting.free, waiting.goes_alone_after,
            waiting.is_startable and (waiting.places is null or waiting.ahead < waiting.places) and waiting.goes_alone_after is null as is_due
        from waiting
    ),
    -- Every reason that applies, the one that lasts first.
    found as (
        select job.id, judged.is_due, reason.rank, reason.name, reason.sentence, reason.what_to_do, reason.since, reason.until
        from judged
        join exportbox.job on job.id = judged.id
        join place on place.kind = job.kind
        cross join capacity
        left join lateral (
            select string_agg(format('%s by %s since %s', pause.scope, pause.paused_by, exportbox.in_words(pause.paused_at))
                    || coalesce(': ' || pause.reason, ''), '; and ' order by pause.id) as sentence,
                string_agg('exportbox resume ' || pause.scope, ', ' order by pause.id) as mended_by, min(pause.paused_at) as since
            from exportbox.pause
            where pause.scope in ('all', case job.kind when 'export' then 'exports' else 'deliveries' end, 'report:' || job.report,
                case job.kind when 'export' then 'source:' || coalesce(job.source, 'default') end)
        ) as paused on true
        left join exportbox.control as held on held.scope = job.kind
        cross join lateral (
            select 1, 'too_late', 'It was not started by ' || exportbox.in_words(job.not_after) || ', its not_after; the next look cancels it.',
                'Make a new request, or requeue it once it is cancelled.', job.not_after, null::timestamptz
            where job.not_after <= now() and job.started_at is null
            union all
            select 2, 'paused', 'Paused: ' || paused.sentence || '.', 'When its reason is gone: ' || paused.mended_by || '.', paused.since, null
            where paused.sentence is not null
            union all
            select 3, 'on_hold', case job.kind when 'export' then 'Exports' else 'Mails' end || ' are on hold since ' || exportbox.in_words(held.held_at)
                    || ' by a wrong setting (' || held.error_class || '): ' || held.reason,
                case when held.probe_at is null then 'A person put it on hold, and lifts it.'
                    else 'Mend the setting. One job is let through to try at ' || exportbox.in_words(held.probe_at) || ', and all follow if it gets past.' end,
                held.held_at, held.probe_at
            where held.scope is not null and not judged.is_due
            union all
            select 4, 'backing_off', format('Attempt %s did not succeed (%s: %s) It is tried again after %s.', job.leases, job.error_class,
                    job.error, exportbox.in_words(job.run_at)),
                'Wait; or see whether what it met still lasts: ' || exportbox.remedy(job.error_class), null, job.run_at
            where job.run_at > now() and job.leases > 0 and job.error is not null
            union all
            select 5, 'not_before', 'It is not to start before ' || exportbox.in_words(job.run_at) || '.', 'Wait.', null, job.run_at
            where job.run_at > now() and (job.leases = 0 or job.error is null)
            union all
            select 6, 'budget_too_short', format('Its report usually takes up to %s, longer than the %s that the last drain had (--max-runtime), and no daemon runs.',
                    date_trunc('second', exportbox.expected_time(job.report)), date_trunc('second', capacity.time_left_ms * interval '1 millisecond')),
                'Drain with a longer --max-runtime, or start: exportbox run', null, null
            where job.kind = 'export' and exportbox.expected_time(job.report) > capacity.time_left_ms * interval '1 millisecond'
            union all
            select 7, 'source_full', format('%s of %s places on the source are taken (EXPORTBOX_SOURCE_SLOTS), by job %s%s.',
                    capacity.source_slots - judged.free, capacity.source_slots,
                    coalesce((select string_agg(holder.id::text, ', ' order by holder.id) from exportbox.job as holder where holder.state = 'running' and holder.kind = 'export'), '-'),
                    case when judged.ahead > 0 then format(', and %s come first', judged.ahead) else '' end),
                'Wait until one of them ends; or raise EXPORTBOX_SOURCE_SLOTS of all processes, or set its priority.', null, null
            where job.kind = 'export' and judged.free <= judged.ahead
            union all
            select 8, 'goes_alone', format('Its workers were lost %s times: it may be what kills them, so it is started only beside no other such job, after job %s.',
                    job.crashes, judged.goes_alone_after),
                'Wait; or see why they ended (memory, logs).', null, null
            where judged.goes_alone_after is not null
            union all
            select 9, 'no_worker', 'It could start now, but no worker has been seen' || coalesce(' since ' || exportbox.in_words(capacity.seen_at), '') || '.',
                'Start one: exportbox run, or a drain.', capacity.seen_at, null
            where judged.is_due and not capacity.is_alive
            union all
            select 10, 'behind', format('It could start now, behind %s of better priority or an earlier instant.', judged.ahead),
                'Wait for a free slot; or start more workers, or set its priority.', job.run_at, null
            where judged.is_due and judged.ahead > 0
            union all
            select 11, 'due', 'It could start now, and is the next of its kind.', 'Nothing: the next worker with a free slot takes it.', job.run_at, null
            where judged.is_due
        ) as reason (rank, name, sentence, what_to_do, since, until)
    )
    select distinct on (found.id) found.id, found.is_due, found.name, found.sentence, found.what_to_do, found.since, found.until
    from found
    order by found.id, found.rank;
end;
comment on function exportbox.explain_pending(uuid) is 'Why what waits of an export waits. For explain, which has checked who may look.';

create function exportbox.explain(export_id uuid)
returns table (job_id uuid, kind text, state text, reason text, is_due boolean, sentence text, what_to_do text, since timestamptz, until timestamptz)
-- Compiling a plan of so many parts takes a second, and running it a few milliseconds.
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
begin
    perform exportbox.assert_may_look(explain.export_id);
    return query
    select job.id, exportbox.shown_kind(job.kind), job.state, told.reason, coalesce(told.is_due, false), told.sentence, told.what_to_do, told.since, told.until
    from exportbox.job
    left join exportbox.explain_pending(explain.export_id) as pending on pending.job_id = job.id
    cross join lateral (
        select pending.reason, pending.is_due, pending.sentence, pending.what_to_do, pending.since, pending.until
        where job.state = 'pending'
        union all
        select case when job.cancel_requested_at is not null then 'cancelling' when job.lease_expires_at < now() then 'worker_lost' else 'running' end,
            false,
            case
                when job.cancel_requested_at is not null then format('Asked to stop at %s; its worker %s does so with its next heartbeat.',
                    exportbox.in_words(job.cancel_requested_at), job.worker)
                when job.lease_expires_at < now() then format('Its worker %s has not been heard of in time; the next look of any worker takes the job from it.', job.worker)
                else format('Worker %s runs attempt %s since %s. It holds the lease until %s, which heartbeats move, and has until %s.', job.worker, job.leases,
                    exportbox.in_words(attempt.started_at), exportbox.in_words(job.lease_expires_at), exportbox.in_words(job.deadline_at))
            end,
            case when job.lease_expires_at < now() then 'Start a worker if none runs: exportbox run, or a drain.' else 'Wait; follow it with: exportbox watch' end,
            attempt.started_at, job.deadline_at
        from exportbox.attempt
        where job.state = 'running' and attempt.lease_token = job.lease_token
        union all
        select case when job.state = 'cancelled' and job.error_class = 'expired' then 'expired' else job.state end, false,
            case job.state when 'completed' then 'Done.'
                when 'cancelled' then coalesce(job.error, 'Cancelled.')
                else format('Dead after %s (%s): %s', case job.leases when 1 then 'one attempt' else job.leases || ' attempts' end, job.error_class, job.error) end,
            case when job.state = 'completed' then 'Nothing.' when job.error_class = 'expired' then 'Request it again with a later not_after, or requeue it.'
                else coalesce(exportbox.remedy(job.error_class), 'Requeue it if it is wanted after all.') end, job.finished_at, null
        where job.state in ('completed', 'dead', 'cancelled')
    ) as told (reason, is_due, sentence, what_to_do, since, until)
    where job.export_id = explain.export_id or job.id = explain.export_id
    union all
    -- Mails that are not there yet: they come with the stored file.
    select null, 'delivery', 'pending', 'waits_for_export', false,
        format('%s mail%s for the export: no mail can be without its file.', cardinality(outbox.recipients), case cardinality(outbox.recipients) when 1 then ' waits' else 's wait' end),
        case when job.state in ('dead', 'cancelled') then 'Requeue the export.' else 'Wait for the export.' end, outbox.requested_at, null
    from exportbox.outbox
    join exportbox.job on job.id = outbox.id
    where outbox.id = explain.export_id and cardinality(outbox.recipients) > 0 and job.state <> 'completed'
    order by 2 desc, 1 nulls last;
end
$$;
comment on function exportbox.explain(uuid) is
    'Why each job of an export is where it is: reason for programs, a sentence, what to do; is_due: a claim with a free slot takes it now.';
grant execute on function exportbox.explain(uuid) to exportbox_requester, exportbox_operator, exportbox_reader;
