-- name: record_sending
-- Stamp a message right before its provider is called. No row: the lease is lost, and nothing may be sent. Nor may it when the answer says that
-- the export was cancelled: whoever was told so gets no mail, and no heartbeat was needed to hear of it.
-- $1 uuid: lease token
with
held as (
    select job.id, job.cancel_requested_at is not null as cancelled
    from exportbox.attempt
    join exportbox.job on job.id = attempt.job_id
    where attempt.lease_token = $1::uuid
        and job.lease_token = $1::uuid -- guard: lease token
    for update of job
),
stamped as (
    update exportbox.message
    set status = 'sending', updated_at = now() -- guard: stamp
    from held
    where message.id = held.id and not held.cancelled
)
select held.cancelled
from held
