-- name: record_backend
-- Note which server process of which source runs the query, so that whoever reaps the attempt can end it, and how many rows its planner expects.
-- $1 uuid token: lease token
-- $2 int pid: pid
-- $3 timestamptz xact_start: start of its transaction
-- $4 text exporter: exporter
-- $5 bigint expected_rows: rows expected, or null
-- $6 text source: name of the source
update exportbox.attempt
set backend_pid = $2::int, xact_start = $3::timestamptz, exporter = $4::text, expected_rows = $5::bigint, source = $6::text
where attempt.lease_token = $1::uuid
    and attempt.finished_at is null -- guard: open attempt
returning attempt.job_id
