-- name: forget_leftovers
-- These files are gone.
-- $1 text[]: buckets
-- $2 text[]: keys, in the same order
delete from exportbox.leftover
using unnest($1::text[], $2::text[]) as gone (bucket, key)
where leftover.bucket = gone.bucket and leftover.key = gone.key
