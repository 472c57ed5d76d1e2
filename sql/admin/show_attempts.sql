-- name: show_attempts
-- The attempts of an export and its deliveries, oldest first.
-- $1 uuid: export id
select to_jsonb(attempts) as attempt
from exportbox.attempts
where attempts.export_id = $1::uuid
order by attempts.started_at, attempts.job_id
limit 200
