-- name: record_sending
-- Stamp a delivery right before its provider is called. No row: the lease is lost, and nothing may be sent.
-- $1 uuid: lease token
with
held as (
    select job.id
    from exportbox.attempt
    join exportbox.job on job.id = attempt.job_id
    where attempt.lease_token = $1::uuid and job.lease_token = $1::uuid
    for update of job
)
update exportbox.delivery
set status = 'sending', updated_at = now()
from held
where delivery.job_id = held.id
returning delivery.job_id
