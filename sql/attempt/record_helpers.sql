-- name: record_helpers
-- Note the other server processes that export slices of a file, before they begin: whoever reaps the attempt ends them, too.
-- $1 uuid token: lease token
-- $2 int[] pids: their pids
-- $3 timestamptz[] starts: their starts
update exportbox.attempt
set more_pids = $2::int[], more_xact_starts = $3::timestamptz[]
where attempt.lease_token = $1::uuid and attempt.finished_at is null
returning attempt.job_id
