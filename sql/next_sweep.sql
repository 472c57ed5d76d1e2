-- name: next_sweep
-- How long until a losing attempt is to be swept (again): milliseconds from now, null when none is.
select (extract(epoch from greatest(min(attempt.sweep_after), now()) - now()) * 1000)::bigint as sleep_ms
from exportbox.attempt
where (attempt.object_key is not null or attempt.backend_pid is not null)
    and attempt.outcome <> 'completed'
    and attempt.sweep_after < 'infinity'
having count(*) > 0
