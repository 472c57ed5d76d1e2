-- name: request_scheduled
-- Request what a schedule is due for and move it on to its next instant. Null: another process was faster.
-- $1 text schedule: schedule
-- $2 timestamptz planned: its next instant as this process found it, null when none was reckoned
-- $3 timestamptz[] instants: instants to request for, oldest first
-- $4 timestamptz next_due_at: the next instant, null for never
-- $5 boolean passed_over: were instants passed over
-- $6 text refusal: why its expression means nothing, or null
select exportbox.request_scheduled($1::text, $2::timestamptz, $3::timestamptz[], $4::timestamptz, $5::boolean, $6::text) as requested
