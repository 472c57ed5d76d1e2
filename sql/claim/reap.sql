-- name: reap
-- End the leases of workers that died, stalled or overran. Run first in every thorough look of every process.
-- $1 bigint grace: grace past the deadline that a live worker has for stopping by itself, ms
-- $2 smallint export_attempts: most attempts of an export
-- $3 smallint message_attempts: max_attempts of a message
-- $4 boolean hold_unknown: hold a mail that may have been sent, instead of sending it again
with
-- A row lock returns the newest version of the row; another scan of the table in this statement would show the one before. Everything that the
-- verdict rests on comes from here, or a cancel and a stamp that were committed a moment ago would be overlooked.
lost as materialized (
    select job.id, job.lease_token, job.kind, job.attempt, job.max_attempts, job.crashes,
        job.cancel_requested_at is not null as cancelled, -- guard: cancel
        job.lease_expires_at < now() as crashed
    from exportbox.job
    where job.state = 'running'
        and (job.lease_expires_at < now() -- guard: lease expiry
            or job.deadline_at + $1::bigint * interval '1 millisecond' < now()) -- guard: deadline
    order by job.id
    limit 100
    for update skip locked
),
-- A message whose row somebody else holds is left to the next cycle: one locked row must not keep the others from being reaped.
stamp as materialized (
    select message.id,
        message.status = 'sending' as maybe_sent -- guard: maybe sent
    from lost
    join exportbox.message on message.id = lost.id
    for update of message skip locked
),
verdict as (
    select lost.id, lost.lease_token, lost.crashed,
        coalesce(stamp.maybe_sent, false) as maybe_sent,
        case
            when lost.cancelled then 'cancelled'
            when lost.crashed and lost.crashes + 1 >= exportbox.crash_limit() then 'dead'
            when stamp.maybe_sent and $4::boolean then 'dead'
            when lost.attempt >= least(lost.max_attempts, case lost.kind when 'export' then $2::smallint else $3::smallint end) then 'dead'
            else 'pending'
        end as state,
        case
            when lost.cancelled then 'cancelled'
            when stamp.maybe_sent and $4::boolean then 'unknown'
            when lost.crashed then 'crashed'
            else 'timeout'
        end as error_class,
        case
            when lost.cancelled then 'Cancelled; its worker was gone.'
            when stamp.maybe_sent and $4::boolean then 'The mail may have been sent when its worker was lost. Requeue to send it again.'
            when lost.crashed and lost.crashes + 1 >= exportbox.crash_limit() then
                format('Lost its worker %s times; it may be what kills them. See why they ended (memory, logs) before you requeue it.', lost.crashes + 1)
            when lost.crashed then 'Its worker was lost.'
            else 'Ran past its deadline.'
        end as error
    from lost
    left join stamp on stamp.id = lost.id
    where lost.kind = 'export' or stamp.id is not null
),
reaped as (
    update exportbox.job
    set state = verdict.state,
        run_at = case when verdict.state = 'pending'
            then now() + interval '5 seconds' * power(2, least(job.attempt, 6)) * (0.75 + random() / 2) else job.run_at end,
        crashes = job.crashes + verdict.crashed::int, -- guard: crashes
        finished_at = case when verdict.state <> 'pending' then now() end,
        cancel_requested_at = case when verdict.state = 'cancelled' then job.cancel_requested_at end,
        error_class = verdict.error_class,
        error = verdict.error,
        lease_token = null, lease_expires_at = null, deadline_at = null, worker = null
    from verdict
    where job.id = verdict.id and job.lease_token = verdict.lease_token
    returning job.id, job.export_id, job.state, job.error_class, job.error, verdict.lease_token, verdict.maybe_sent
),
closed as (
    update exportbox.attempt
    set finished_at = now(), outcome = 'reaped', error_class = reaped.error_class, error = reaped.error
    from reaped
    where attempt.lease_token = reaped.lease_token -- guard: attempt
    returning attempt.lease_token
),
marked as (
    update exportbox.message
    set status = case
            when reaped.maybe_sent then 'unknown'
            when reaped.state = 'pending' then 'pending'
            when reaped.state = 'cancelled' then 'cancelled'
            else 'dead'
        end,
        error_class = reaped.error_class, error = reaped.error, updated_at = now()
    from reaped
    where message.id = reaped.id
),
told as (
    insert into exportbox.event (export_id, job_id, kind, detail)
    select reaped.export_id, reaped.id, unnested.kind, reaped.error
    from reaped
    cross join lateral unnest(case when reaped.maybe_sent then array['reaped', 'unknown'] else array['reaped'] end) as unnested (kind)
)
select reaped.id, reaped.export_id, reaped.state, reaped.error_class
from reaped
join closed on closed.lease_token = reaped.lease_token
