-- name: record_sweep
-- Nothing of this attempt is left. One whose worker was lost is swept once more later: a request that was held up on its way, or a worker that was
-- only held up itself, may still have stored something. So is one that stored from inside the database, where a query may outlive its connection.
-- $1 uuid: lease token
-- $2 bigint: how long after the end of a lost attempt something of it may still arrive, ms
update exportbox.attempt
set swept_at = now(),
    sweep_after = case
        when (attempt.outcome = 'reaped' or attempt.exporter = 'aws_s3') and attempt.finished_at + $2::bigint * interval '1 millisecond' > now()
            then attempt.finished_at + $2::bigint * interval '1 millisecond'
        else 'infinity'
    end
where attempt.lease_token = $1::uuid and attempt.outcome <> 'completed'
