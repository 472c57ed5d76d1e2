-- name: record_sweep
-- Nothing of this attempt is left.
-- $1 uuid: lease token
update exportbox.attempt
set swept_at = now()
where attempt.lease_token = $1::uuid and attempt.outcome <> 'completed'
