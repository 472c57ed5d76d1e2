-- name: reopen_sweep
-- This process finished an attempt after its lease was gone: what it stored may have come after the sweep.
-- $1 uuid: lease token
update exportbox.attempt
set swept_at = null, sweep_after = now()
where attempt.lease_token = $1::uuid and attempt.outcome <> 'completed'
