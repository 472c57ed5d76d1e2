-- name: heartbeat
-- Move the expiry of all leases of this process and note their progress: one statement per process and beat.
-- Only a running job has a token. That is not said again by its state: the index of what runs would be read, with all that an old snapshot keeps.
-- A lease that is not returned is lost. One whose row somebody else has locked is returned as not landed: it must not hold up the others.
-- $1 uuid[] jobs: job ids
-- $2 uuid[] tokens: their lease tokens
-- $3 bigint[] rows: rows so far
-- $4 bigint[] bytes: bytes so far
-- $5 bigint lease: lease, ms
-- $6 text worker: worker id
with
beat as (
    select beat.job_id, beat.lease_token, beat.rows, beat.bytes
    from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) as beat (job_id, lease_token, rows, bytes)
),
free as materialized (
    select job.id
    from exportbox.job
    join beat on beat.job_id = job.id
        and beat.lease_token = job.lease_token -- guard: lease token
    order by job.id
    for update of job skip locked
),
landed as (
    update exportbox.job
    set lease_expires_at = now() + $5::bigint * interval '1 millisecond'
    from free
    where job.id = free.id
    returning job.id
),
progressed as (
    update exportbox.attempt
    set rows = beat.rows, bytes = beat.bytes, progress_at = now()
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
select job.lease_token,
    job.cancel_requested_at is not null as cancel_requested, -- guard: cancel
    landed.id is not null as landed
from beat
join exportbox.job on job.id = beat.job_id and job.lease_token = beat.lease_token
left join landed on landed.id = job.id
