-- name: record_sweep
-- Nothing of this attempt is left. It is swept once more later: a request that was held up on its way, a worker that was only held up itself, or a
-- query that outlived its connection may still have stored something.
-- $1 uuid: lease token
-- $2 bigint: how long after the end of an attempt something of it may still arrive, ms
update exportbox.attempt
set swept_at = now(),
    sweep_after = case
        when attempt.finished_at + $2::bigint * interval '1 millisecond' > now()
            then attempt.finished_at + $2::bigint * interval '1 millisecond'
        else 'infinity'
    end
where attempt.lease_token = $1::uuid and attempt.outcome <> 'completed'
