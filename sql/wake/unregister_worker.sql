-- name: unregister_worker
-- This process stops.
-- $1 text: worker id
delete from exportbox.worker
where worker.id = $1::text
