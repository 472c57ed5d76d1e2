-- Run as the owner of a migrated database, after `pgbench -i -s 10` in it, which makes the business tables.
grant usage on schema public to app;
grant select, insert, update, delete on pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history to app;
-- The floor: the same row, one index, no trigger, no constraint but the key.
create table public.bench_plain (like exportbox.outbox including defaults);
alter table public.bench_plain alter id set default gen_random_uuid(), alter requested_by set default current_user, add primary key (id);
grant select, insert on public.bench_plain to app;
-- The usual report: one parameter, run as the application.
select exportbox.register_report('bench-report', 'select exportbox.param(''month'')::date as month',
    '{"month": {"type": "date", "required": true}}', 'app', plan => false);
-- Somebody who sleeps, for a case that wants one: a listener like a daemon's, whom nobody has told to stop waiting.
create function public.sleeper(channel text) returns void language sql
begin atomic
    insert into exportbox.worker (id, channel, version, slots, listener_pid, waiting_since, waiting_until)
    values (sleeper.channel, sleeper.channel, '', 1, pg_backend_pid(), now(), now() + interval '1 day');
end;
