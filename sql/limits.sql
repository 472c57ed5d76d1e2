-- name: limits
-- First statement of every bookkeeping transaction behind a pooler: what startup options are for where nobody stands in between.
select
    set_config('statement_timeout', '30s', true) as statement_timeout,
    set_config('lock_timeout', '10s', true) as lock_timeout
