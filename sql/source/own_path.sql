-- name: own_path
-- Until the query itself is read, names mean the system's: where anybody may create in a schema of the login's path, nobody's function or operator
-- takes their place. Returns that path.
select pg_catalog.current_setting('search_path') as path, pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)
