-- name: settle_cancelled
-- The worker stopped because it was asked to, or found that there is nothing to do any more.
-- $1 uuid job: job id
-- $2 uuid token: lease token
-- $3 boolean maybe_sent: the mail may have been sent
-- $4 text error: why, in our own words
with
settled as (
    update exportbox.job
    set state = 'cancelled', finished_at = now(), error_class = 'cancelled', error = $4::text,
        lease_token = null, lease_expires_at = null, deadline_at = null, worker = null
    where job.id = $1::uuid
        and job.lease_token = $2::uuid -- guard: lease token
    returning job.id, job.export_id
),
closed as (
    update exportbox.attempt
    set finished_at = now(), outcome = 'cancelled', error_class = 'cancelled', error = $4::text
    from settled
    where attempt.lease_token = $2::uuid
),
marked as (
    update exportbox.message
    set status = case when $3::boolean then 'unknown' else 'cancelled' end, updated_at = now()
    from settled
    where message.id = settled.id
),
told as (
    insert into exportbox.event (export_id, job_id, kind)
    select settled.export_id, settled.id, named.kind
    from settled
    cross join lateral (values ('cancelled'), (case when $3::boolean then 'unknown' end)) as named (kind)
    where named.kind is not null
)
select settled.id
from settled
