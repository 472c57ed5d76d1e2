-- name: read_by_blocks
-- Ranges of blocks are read as such however small the table is. Ends with the savepoint before.
select pg_catalog.set_config('enable_seqscan', 'off', true)
