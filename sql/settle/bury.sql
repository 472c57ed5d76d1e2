-- name: bury
-- Dead at once: another attempt would fail the same way, or must not be made.
-- $1 uuid job: job id
-- $2 uuid token: lease token
-- $3 text error_class: error class
-- $4 text error: error in our own words
-- $5 text error_detail: raw detail, operators only
-- $6 text status: status of the message, if it is one
with
settled as (
    update exportbox.job
    set state = 'dead', finished_at = now(), cancel_requested_at = null, error_class = $3::text, error = $4::text,
        lease_token = null, lease_expires_at = null, deadline_at = null, worker = null
    where job.id = $1::uuid
        and job.lease_token = $2::uuid -- guard: lease token
    returning job.id, job.export_id
),
closed as (
    update exportbox.attempt
    set finished_at = now(), outcome = 'buried', error_class = $3::text, error = $4::text,
        -- What this attempt still knew of somebody who has been erased meanwhile is not written down again.
        error_detail = case when not exportbox.is_erased(settled.id) then $5::text end -- guard: erased
    from settled
    where attempt.lease_token = $2::uuid
),
marked as (
    update exportbox.message
    set status = $6::text, error_class = $3::text, error = $4::text, updated_at = now()
    from settled
    where message.id = settled.id
),
told as (
    insert into exportbox.event (export_id, job_id, kind, detail)
    select settled.export_id, settled.id, named.kind, $4::text
    from settled
    cross join lateral (values ('dead'), (case when $6::text = 'unknown' then 'unknown' end)) as named (kind)
    where named.kind is not null
)
select settled.id
from settled
