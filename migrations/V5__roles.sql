-- Who may do what. Needs CREATEROLE, not superuser: the master user of RDS and Aurora will do. Roles belong to the cluster, so they may exist.

do $$
declare
    role_name text;
begin
    foreach role_name in array '{exportbox_requester,exportbox_adhoc,exportbox_worker,exportbox_operator,exportbox_reader}'::text[] loop
        if not exists (select from pg_roles where rolname = role_name) then
            begin
                execute format('create role %I nologin', role_name);
            exception
                -- Another database of this cluster is being migrated at the same moment.
                when duplicate_object or unique_violation then null;
                when insufficient_privilege then
                    raise exception using errcode = 'EB070', message = format('role "%s" is missing and %I may not create it', role_name, current_user),
                        hint = format('Run as an administrator: create role %I nologin; then migrate again.', role_name);
            end;
        end if;
    end loop;
end
$$;

alter table exportbox.outbox enable row level security;
create policy requester_inserts_own on exportbox.outbox for insert to exportbox_requester with check (requested_by = current_user);
create policy requester_reads_own on exportbox.outbox for select to exportbox_requester using (requested_by = current_user);
create policy worker_reads on exportbox.outbox for select to exportbox_worker using (true);

revoke all on all functions in schema exportbox from public;

grant usage on schema exportbox to exportbox_requester, exportbox_worker, exportbox_operator, exportbox_reader;

grant insert (id, report, query, params, recipients, format, compression, format_options, filename, idempotency_key, run_at,
    not_after, priority, timeout, max_attempts, link_ttl, subject, message, metadata) on exportbox.outbox to exportbox_requester;
-- For RETURNING id and ON CONFLICT (requested_by, idempotency_key).
grant select (id, idempotency_key, requested_by) on exportbox.outbox to exportbox_requester;
grant execute on function exportbox.new_id(), exportbox.param(text), exportbox.request_export, exportbox.cancel(uuid), exportbox.requeue(uuid)
    to exportbox_requester;

grant exportbox_reader to exportbox_operator;
grant exportbox_reader to exportbox_worker;
grant execute on function exportbox.cancel(uuid), exportbox.requeue(uuid), exportbox.param(text) to exportbox_operator;

grant select on exportbox.exports, exportbox.jobs, exportbox.attempts, exportbox.deliveries, exportbox.objects, exportbox.events
    to exportbox_reader, exportbox_operator, exportbox_requester;
grant select on exportbox.health to exportbox_reader, exportbox_operator;
grant execute on function exportbox.oldest_snapshot(bigint, interval) to exportbox_reader, exportbox_operator;
-- The daemon and the commands refuse a schema that is not theirs; the runner of the migrations has made this table.
grant select on exportbox.schema_history to exportbox_reader;
grant select on exportbox.control to exportbox_operator;
grant execute on function exportbox.pause(text, text), exportbox.resume(text), exportbox.set_priority(uuid, integer)
    to exportbox_operator, exportbox_worker;
grant execute on function exportbox.open_lanes(), exportbox.is_open(exportbox.job, text[], text[]) to exportbox_reader, exportbox_operator;
grant execute on function exportbox.may_see(text), exportbox.mask(text) to exportbox_reader, exportbox_operator, exportbox_requester;

grant select, insert, update, delete on exportbox.job, exportbox.attempt, exportbox.object, exportbox.delivery, exportbox.control,
    exportbox.worker to exportbox_worker;
grant select, insert, update on exportbox.last_drain, exportbox.mail_quota to exportbox_worker;
grant select on exportbox.pause to exportbox_worker;
-- Who and when come from the columns' defaults: nobody writes history in another's name.
grant select, insert (export_id, job_id, kind, detail) on exportbox.event to exportbox_worker;
grant select on exportbox.report to exportbox_worker;
grant usage, select on all sequences in schema exportbox to exportbox_worker;
grant select on exportbox.outbox to exportbox_worker;
grant execute on function exportbox.lanes(bigint), exportbox.expected_time(text), exportbox.is_open(exportbox.job, text[], text[]),
    exportbox.is_startable(exportbox.job, smallint, boolean, text[], text[]) to exportbox_worker;
grant execute on function exportbox.places_on_source(integer), exportbox.wake(timestamptz), exportbox.param(text), exportbox.acting_role() to exportbox_worker;
grant execute on function exportbox.cancel(uuid), exportbox.requeue(uuid) to exportbox_worker;
