-- name: record_sweep
-- Nothing of this attempt is left in the store. One whose worker was lost is swept once more later: a query that could not be ended, or a worker
-- that was only held up, may still have stored something.
-- $1 uuid: lease token
-- $2 bigint: how long after the end of a lost attempt something of it may still arrive, ms
update exportbox.attempt
set swept_at = now(),
    sweep_after = case
        when attempt.outcome = 'reaped' and attempt.finished_at + $2::bigint * interval '1 millisecond' > now()
            then attempt.finished_at + $2::bigint * interval '1 millisecond'
        else 'infinity'
    end
where attempt.lease_token = $1::uuid and attempt.outcome <> 'completed'
