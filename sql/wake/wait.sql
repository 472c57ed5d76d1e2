-- name: wait
-- Mark this worker as asleep, so that an insert wakes it. Returns whether it was marked already for all of this nap; if not, look once more: what was
-- requested before the mark has found nobody asleep. No row: this process does not listen.
-- $1 text worker: worker id
-- $2 bigint nap: this nap, ms
-- $3 bigint mark: how long the mark shall hold, ms
with
before as materialized (
    select worker.id, coalesce(worker.waiting_until >= clock_timestamp() + $2::bigint * interval '1 millisecond', false) as marked
    from exportbox.worker
    where worker.id = $1::text
    for update
),
marked as (
    update exportbox.worker
    set waiting_since = clock_timestamp(), waiting_until = clock_timestamp() + $3::bigint * interval '1 millisecond', seen_at = now()
    from before
    where worker.id = before.id and not before.marked
)
select before.marked
from before
