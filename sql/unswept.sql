-- name: unswept
-- Attempts that lost and may have left something in the store, and whose turn it is.
select attempt.lease_token, attempt.bucket, attempt.object_key, attempt.upload_id
from exportbox.attempt
where attempt.object_key is not null
    and attempt.outcome <> 'completed'
    and attempt.sweep_after < 'infinity'
    and attempt.sweep_after <= now()
-- In no order: what cannot be swept must not keep the rest from its turn.
order by random()
limit 50
