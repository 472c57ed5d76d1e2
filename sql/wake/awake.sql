-- name: awake
-- This worker needs no wake for now.
-- $1 text: worker id
update exportbox.worker
set waiting_since = null, waiting_until = null, seen_at = now()
where worker.id = $1::text and worker.waiting_until is not null
