-- name: set_slice
-- Between which values of the split key the next COPY of this transaction takes rows. As settings, as parameters are: never as text of a query.
-- $1 text: from, or nothing
-- $2 text: to, which is not in it, or nothing
select pg_catalog.set_config('exportbox.split_from', $1::text, true), pg_catalog.set_config('exportbox.split_to', $2::text, true)
