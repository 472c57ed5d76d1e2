-- name: open_export
-- First statement of an export's transaction on the source: everything is local to it. Parameters travel as settings, never as text.
-- $1 text role: role
-- $2 text statement_timeout: statement timeout, ms
-- $3 text[] params: names of parameters
-- $4 text[] param_values: their values; null leaves one unset, which reads as null
-- $5 text application_name: application_name while it lasts
select
    pg_backend_pid() as backend_pid,
    now() as xact_start,
    coalesce(case when pg_is_in_recovery() then pg_last_xact_replay_timestamp() end, now()) as as_of,
    set_config('statement_timeout', $2::text, true), -- guard: time limit
    set_config('lock_timeout', least($2::bigint, 60000)::text, true),
    set_config('idle_in_transaction_session_timeout', '0', true),
    -- A worker that is killed cannot cancel its query: the server looks for it every few seconds instead (from PostgreSQL 14 on).
    case when current_setting('client_connection_check_interval', true) is not null
        then set_config('client_connection_check_interval', '5s', true) end,
    set_config('application_name', $5::text, true),
    set_config('timezone', 'UTC', true),
    set_config('datestyle', 'ISO, MDY', true),
    (select count(set_config('exportbox.param_' || param.name, param.value, true)) from unnest($3::text[], $4::text[]) as param (name, value)
        where param.value is not null),
    set_config('exportbox.empty_params', array_to_string(array(
        select param.name from unnest($3::text[], $4::text[]) as param (name, value) where param.value = ''), ','), true),
    set_config('role', $1::text, true) -- guard: role
