-- name: drop_role
-- Back to the login's own rights, for the call of aws_s3 with a sealed report. What wraps the report for its format is found in the system's
-- catalogue alone, so that nobody's function of the same name runs with these rights.
select
    set_config('role', 'none', true),
    set_config('search_path', 'pg_catalog, pg_temp', true) -- guard: search path
