-- name: register_schedule
-- Add a schedule or replace one. False: the same definition was there already.
-- $1 jsonb: the function's arguments by name, null or missing for their defaults
-- $2 timestamptz: its next instant
select exportbox.register_schedule(given.name, given.cron, given.report, time_zone => given.time_zone, params => given.params,
    recipients => given.recipients, requester => given.requester, format => given.format, compression => given.compression,
    format_options => given.format_options, filename => given.filename, priority => given.priority, timeout => given.timeout,
    max_attempts => given.max_attempts, link_ttl => given.link_ttl, subject => given.subject, message => given.message,
    metadata => given.metadata, catch_up => given.catch_up, catch_up_limit => given.catch_up_limit, late_after => given.late_after,
    next_due_at => $2::timestamptz) as registered
from jsonb_to_record($1::jsonb) as given (name text, cron text, report text, time_zone text, params jsonb, recipients text[], requester text,
    format text, compression text, format_options jsonb, filename text, priority integer, timeout interval, max_attempts integer,
    link_ttl interval, subject text, message text, metadata jsonb, catch_up text, catch_up_limit integer, late_after interval)
