-- name: register_worker
-- Say that this process works, and forget processes that have been silent for a day. A new listener has heard nothing yet: not asleep.
-- $1 text worker: worker id
-- $2 text channel: channel
-- $3 text version: version
-- $4 int slots: slots
-- $5 int listener_pid: pid of the listening backend, or null
-- $6 int source_slots: most exports at once over all processes, null for no limit
with
forgotten as (
    delete from exportbox.worker
    where worker.seen_at < now() - interval '1 day' and worker.id <> $1::text
)
insert into exportbox.worker (id, channel, version, slots, listener_pid, source_slots)
values ($1::text, $2::text, $3::text, $4::int, $5::int, $6::int)
on conflict (id) do update
set listener_pid = excluded.listener_pid, seen_at = now(), waiting_since = null, waiting_until = null
