-- name: settle_cancelled
-- The worker stopped because it was asked to.
-- $1 bigint: job id
-- $2 uuid: lease token
-- $3 boolean: the mail may have been sent
with
settled as (
    update exportbox.job
    set state = 'cancelled', finished_at = now(), error_class = 'cancelled', error = 'Cancelled while it ran.',
        lease_token = null, lease_expires_at = null, deadline_at = null, worker = null
    where job.id = $1::bigint
        and job.lease_token = $2::uuid -- guard: lease token
    returning job.id, job.export_id
),
closed as (
    update exportbox.attempt
    set finished_at = now(), outcome = 'cancelled', error_class = 'cancelled', error = 'Cancelled while it ran.'
    from settled
    where attempt.lease_token = $2::uuid
),
marked as (
    update exportbox.delivery
    set status = case when $3::boolean then 'unknown' else 'cancelled' end, updated_at = now()
    from settled
    where delivery.job_id = settled.id
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
