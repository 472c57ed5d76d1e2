-- name: release
-- Give a job back unburnt: a shutdown, or a fault that is not the request's own.
-- $1 uuid job: job id
-- $2 uuid token: lease token
-- $3 bigint delay: delay, ms
-- $4 text error_class: error class, null for a shutdown
-- $5 text error: error in our own words, null for a shutdown
-- $6 text error_detail: raw detail, operators only
with
settled as (
    update exportbox.job
    set state = case when job.cancel_requested_at is not null then 'cancelled' else 'pending' end,
        attempt = job.attempt - 1,
        run_at = case when $3::bigint = 0 then job.run_at else now() + $3::bigint * interval '1 millisecond' end,
        finished_at = case when job.cancel_requested_at is not null then now() end,
        error_class = case when job.cancel_requested_at is not null then 'cancelled' else coalesce($4::text, job.error_class) end,
        error = case when job.cancel_requested_at is not null then 'Cancelled while it ran.' else coalesce($5::text, job.error) end,
        lease_token = null, lease_expires_at = null, deadline_at = null, worker = null
    where job.id = $1::uuid
        and job.lease_token = $2::uuid -- guard: lease token
    returning job.id, job.export_id, job.state
),
closed as (
    update exportbox.attempt
    set finished_at = now(), outcome = case settled.state when 'pending' then 'released' else 'cancelled' end,
        error_class = $4::text, error = $5::text,
        -- What this attempt still knew of somebody who has been erased meanwhile is not written down again.
        error_detail = case when not exportbox.is_erased(settled.id) then $6::text end -- guard: erased
    from settled
    where attempt.lease_token = $2::uuid
),
marked as (
    update exportbox.message
    set status = case settled.state when 'pending' then 'pending' else 'cancelled' end,
        error_class = coalesce($4::text, message.error_class), error = coalesce($5::text, message.error), updated_at = now()
    from settled
    where message.id = settled.id
),
told as (
    insert into exportbox.event (export_id, job_id, kind)
    select settled.export_id, settled.id, 'cancelled'
    from settled
    where settled.state = 'cancelled'
)
select settled.state
from settled
