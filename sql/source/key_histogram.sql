-- name: key_histogram
-- What the planner knows of a column's distribution: values with about as many rows between each two, and those that many rows have. In no order;
-- as the role of this transaction may see it.
-- $1 bigint: table's oid
-- $2 smallint: column's number
select pg_catalog.array_cat(coalesce(pg_stats.histogram_bounds::text::text[], '{}'), coalesce(pg_stats.most_common_vals::text::text[], '{}')) as bounds
from pg_catalog.pg_attribute
join pg_catalog.pg_class on pg_class.oid = pg_attribute.attrelid
join pg_catalog.pg_namespace on pg_namespace.oid = pg_class.relnamespace
join pg_catalog.pg_stats on pg_stats.schemaname = pg_namespace.nspname and pg_stats.tablename = pg_class.relname and pg_stats.attname = pg_attribute.attname
where pg_attribute.attrelid = $1::bigint::oid and pg_attribute.attnum = $2::smallint
order by pg_stats.inherited desc
limit 1
