-- name: table_blocks
-- How many blocks a table has.
-- $1 text: schema
-- $2 text: table
select pg_catalog.pg_relation_size(pg_catalog.format('%I.%I', $1::text, $2::text)::pg_catalog.regclass)
    operator(pg_catalog./) pg_catalog.current_setting('block_size')::bigint as blocks
