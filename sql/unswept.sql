-- name: unswept
-- Attempts that lost, may have left something, and whose turn it is: a query that still runs, where the worker was lost too, and whatever it has
-- stored. The query has to end first, or it goes on to write.
select attempt.lease_token, attempt.bucket, attempt.object_key, attempt.upload_id,
    case when attempt.outcome = 'reaped' then attempt.backend_pid end as backend_pid,
    case when attempt.outcome = 'reaped' then attempt.backend_start end as backend_start
from exportbox.attempt
where (attempt.object_key is not null or attempt.backend_pid is not null)
    and attempt.outcome <> 'completed'
    and attempt.sweep_after < 'infinity'
    and attempt.sweep_after <= now()
-- In no order: what cannot be swept must not keep the rest from its turn.
order by random()
limit 50
