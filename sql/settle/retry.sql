-- name: retry
-- Back to pending with a delay, or dead when this was the last attempt.
-- $1 uuid job: job id
-- $2 uuid token: lease token
-- $3 bigint delay: delay, ms
-- $4 smallint max_attempts: max_attempts
-- $5 text error_class: error class
-- $6 text error: error in our own words
-- $7 text error_detail: raw detail, operators only
-- $8 boolean maybe_sent: the mail may have been sent
with
settled as (
    update exportbox.job
    set state = case when job.cancel_requested_at is not null then 'cancelled'
            when job.attempt >= $4::smallint then 'dead' else 'pending' end,
        run_at = now() + $3::bigint * interval '1 millisecond',
        finished_at = case when job.cancel_requested_at is not null or job.attempt >= $4::smallint then now() end,
        error_class = $5::text, error = $6::text,
        lease_token = null, lease_expires_at = null, deadline_at = null, worker = null
    where job.id = $1::uuid
        and job.lease_token = $2::uuid -- guard: lease token
    returning job.id, job.export_id, job.state
),
closed as (
    update exportbox.attempt
    set finished_at = now(), outcome = case settled.state when 'pending' then 'retried' when 'dead' then 'buried' else 'cancelled' end,
        error_class = $5::text, error = $6::text,
        -- What this attempt still knew of somebody who has been erased meanwhile is not written down again.
        error_detail = case when not exportbox.is_erased(settled.id) then $7::text end -- guard: erased
    from settled
    where attempt.lease_token = $2::uuid
),
marked as (
    update exportbox.message
    set status = case when $8::boolean then 'unknown' when settled.state = 'pending' then 'pending'
            when settled.state = 'dead' then 'dead' else 'cancelled' end,
        error_class = $5::text, error = $6::text, updated_at = now()
    from settled
    where message.id = settled.id
),
told as (
    insert into exportbox.event (export_id, job_id, kind, detail)
    select settled.export_id, settled.id, named.kind, $6::text
    from settled
    cross join lateral (values (case when $8::boolean then 'unknown' end), (case when settled.state <> 'pending' then settled.state end)) as named (kind)
    where named.kind is not null
)
select settled.state
from settled
