-- name: query_path
-- From here on names mean what the login's own path says: the query comes next.
-- $1 text: that path
select pg_catalog.set_config('search_path', $1::text, true)
