-- name: record_backend
-- Note which server process runs the query, so that whoever reaps the attempt can end it.
-- $1 uuid: lease token
-- $2 int: pid
-- $3 timestamptz: start of that process
-- $4 text: exporter
update exportbox.attempt
set backend_pid = $2::int, backend_start = $3::timestamptz, exporter = $4::text
where attempt.lease_token = $1::uuid and attempt.finished_at is null
returning attempt.job_id
