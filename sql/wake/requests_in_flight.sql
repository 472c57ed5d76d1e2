-- name: requests_in_flight
-- Transactions that have inserted a request and not ended. One that looked for sleepers before this worker marked itself asleep wakes
-- nobody, so the worker looks again until they are through. Costs the inserting side nothing: every insert holds this table lock anyway.
select pg_locks.virtualtransaction as transaction
from pg_catalog.pg_locks
where pg_locks.locktype = 'relation'
    and pg_locks.database = (select pg_database.oid from pg_catalog.pg_database where pg_database.datname = current_database())
    and pg_locks.relation = 'exportbox.outbox'::regclass
    and pg_locks.mode = 'RowExclusiveLock'
    and pg_locks.granted
