-- name: unswept
-- Attempts that lost, may have left something, and whose turn it is: a query that still runs, where the worker was lost too, and whatever it has
-- stored. The query has to end first, or it goes on to write.
select attempt.lease_token, attempt.bucket, attempt.object_key, attempt.upload_id,
    case when attempt.outcome = 'reaped' and attempt.backend_pid is not null then attempt.backend_pid || attempt.more_pids end as pids,
    case when attempt.outcome = 'reaped' and attempt.backend_pid is not null then attempt.backend_start || attempt.more_starts end as starts
from exportbox.attempt
where (attempt.object_key is not null or attempt.backend_pid is not null)
    and attempt.outcome <> 'completed'
    and attempt.sweep_after < 'infinity'
    and attempt.sweep_after <= now()
-- In no order: what cannot be swept must not keep the rest from its turn.
order by random()
limit 50
