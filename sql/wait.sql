-- name: wait
-- Mark this worker as asleep, so that an insert wakes it. Claim once more after this: a request may have come in between.
-- $1 text: worker id
-- $2 bigint: how long it sleeps at most, ms
update exportbox.worker
set waiting_since = clock_timestamp(), waiting_until = clock_timestamp() + $2::bigint * interval '1 millisecond', seen_at = now()
where worker.id = $1::text
