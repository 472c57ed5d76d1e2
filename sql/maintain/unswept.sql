-- name: unswept
-- Attempts that lost, may have left something, and whose turn it is: a query that still runs, where the worker was lost too, and whatever it has
-- stored. The query has to end first, or it goes on to write.
with
lost as (
    select attempt.lease_token, attempt.bucket, attempt.object_key, attempt.upload_id, attempt.source,
        -- guard: all backends
        case when attempt.outcome = 'reaped' and attempt.backend_pid is not null then attempt.backend_pid || attempt.more_pids end as pids,
        case when attempt.outcome = 'reaped' and attempt.backend_pid is not null then attempt.xact_start || attempt.more_xact_starts end as starts
    from exportbox.attempt
    where (attempt.object_key is not null or attempt.backend_pid is not null)
        and attempt.outcome <> 'completed' -- guard: completed
        and attempt.sweep_after < 'infinity'
        and attempt.sweep_after <= now()
    -- In no order: what cannot be swept must not keep the rest from its turn.
    order by random()
    limit 50
),
next_turn as (
    select (extract(epoch from greatest(min(attempt.sweep_after), now()) - now()) * 1000)::bigint as sleep_ms
    from exportbox.attempt
    where (attempt.object_key is not null or attempt.backend_pid is not null)
        and attempt.outcome <> 'completed'
        and attempt.sweep_after < 'infinity'
    having count(*) > 0
)
-- Always a row: how long until the next one has its turn, null when none will; without an attempt whose turn it is the rest is null.
select (select next_turn.sleep_ms from next_turn) as sleep_ms,
    lost.lease_token, lost.bucket, lost.object_key, lost.upload_id, lost.source, lost.pids, lost.starts
from (values (true)) as look (always)
left join lost on true
