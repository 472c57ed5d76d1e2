-- name: postpone_sweep
-- This attempt could not be swept now.
-- $1 uuid: lease token
-- $2 bigint: try again after, ms
update exportbox.attempt
set sweep_after = now() + $2::bigint * interval '1 millisecond'
where attempt.lease_token = $1::uuid and attempt.outcome <> 'completed'
