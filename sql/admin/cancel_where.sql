-- name: cancel_where
-- Stop the waiting and running jobs that a filter names, a batch at a time.
-- $1 text state: state, or null
-- $2 text kind: kind, or null
-- $3 text report: report, or null
-- $4 text error_class: error class, or null
-- $5 text requester: requester, or null
-- $6 timestamptz since: since, or null
-- $7 timestamptz until: until, or null
-- $8 int at_most: at most, or null
-- $9 boolean dry_run: only say what would be touched
select exportbox.cancel_where(state => $1::text, kind => $2::text, report => $3::text, error_class => $4::text, requested_by => $5::text,
    since => $6::timestamptz, until => $7::timestamptz, at_most => $8::int, dry_run => $9::boolean) as said
