-- name: leftovers
-- Files of exports that were pruned.
select leftover.bucket, leftover.key
from exportbox.leftover
-- In no order: what cannot be removed must not keep the rest from its turn.
order by random()
limit 200
