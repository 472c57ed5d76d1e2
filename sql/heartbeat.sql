-- name: heartbeat
-- Move the expiry of all leases of this process and note their progress: one statement per process and beat.
-- A lease that is not returned is lost.
-- $1 bigint[]: job ids
-- $2 uuid[]: their lease tokens
-- $3 bigint[]: rows so far
-- $4 bigint[]: bytes so far
-- $5 bigint: lease, ms
-- $6 text: worker id
with
beat as (
    select beat.job_id, beat.lease_token, beat.rows, beat.bytes
    from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[]) as beat (job_id, lease_token, rows, bytes)
),
landed as (
    update exportbox.job
    set lease_expires_at = now() + $5::bigint * interval '1 millisecond'
    from beat
    where job.id = beat.job_id and job.lease_token = beat.lease_token and job.state = 'running'
    returning job.lease_token, job.cancel_requested_at is not null as cancel_requested
),
progressed as (
    update exportbox.attempt
    set rows = beat.rows, bytes = beat.bytes
    from beat
    where attempt.lease_token = beat.lease_token and attempt.finished_at is null
        and (attempt.rows, attempt.bytes) is distinct from (beat.rows, beat.bytes)
        and (beat.rows, beat.bytes) is distinct from (0::bigint, 0::bigint)
),
seen as (
    update exportbox.worker
    set seen_at = now()
    where worker.id = $6::text
)
select landed.lease_token, landed.cancel_requested
from landed
