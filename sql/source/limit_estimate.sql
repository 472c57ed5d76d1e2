-- name: limit_estimate
-- What is asked to see whether a file is worth splitting takes a moment or is given up. Ends with the savepoint before.
-- $1 text: statement timeout, ms
select pg_catalog.set_config('statement_timeout', $1::text, true)
