-- name: attempt_outcome
-- How an attempt ended. Asked when a settle found no lease: its first try may have been committed with the reply lost.
-- $1 uuid: lease token
select attempt.outcome
from exportbox.attempt
where attempt.lease_token = $1::uuid
