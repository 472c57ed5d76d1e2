-- name: live_leases
-- Which of these leases belong to attempts that have not ended.
-- $1 uuid[]: lease tokens
select attempt.lease_token
from exportbox.attempt
where attempt.lease_token = any ($1::uuid[]) and attempt.finished_at is null
