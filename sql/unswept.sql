-- name: unswept
-- Attempts that lost and may have left something in the store.
select attempt.lease_token, attempt.bucket, attempt.object_key, attempt.upload_id
from exportbox.attempt
where attempt.object_key is not null
    and attempt.swept_at is null
    and attempt.outcome <> 'completed'
-- In no order: what cannot be swept must not keep the rest from its turn.
order by random()
limit 50
