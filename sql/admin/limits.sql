-- name: limits
-- First statement of every bookkeeping transaction behind a pooler: what startup options are for where nobody stands in between.
select
    pg_catalog.set_config('statement_timeout', '30s', true) as statement_timeout,
    pg_catalog.set_config('lock_timeout', '10s', true) as lock_timeout,
    pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true) as search_path -- guard: search path
