-- name: expire
-- Cancel what was not started by its not_after; what was started once may go on to be retried. Run in every thorough look before claim.
with
late as materialized (
    select job.id
    from exportbox.job
    where job.state = 'pending' and job.started_at is null and job.not_after <= now()
    order by job.not_after, job.id
    limit 100
    for update skip locked
),
expired as (
    update exportbox.job
    set state = 'cancelled', finished_at = now(), error_class = 'expired', error = 'Not started by its not_after.'
    from late
    where job.id = late.id
    returning job.id, job.export_id
),
undelivered as (
    update exportbox.message
    set status = 'cancelled', updated_at = now()
    from expired
    where message.id = expired.id
),
told as (
    insert into exportbox.event (export_id, job_id, kind)
    select expired.export_id, expired.id, 'expired'
    from expired
)
select expired.id
from expired
