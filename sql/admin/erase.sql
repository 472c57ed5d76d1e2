-- name: erase
-- Take an address out of requests, deliveries and events, and have the files removed that were made for it alone.
-- $1 text address: address
-- $2 text reason: reason, or null
-- $3 boolean dry_run: only say what would be touched
select exportbox.erase($1::text, $2::text, $3::boolean) as said
