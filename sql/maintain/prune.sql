-- name: prune
-- Delete exports that are final for so long, a batch of them.
-- $1 bigint completed: age of completed ones, ms; null keeps them
-- $2 bigint dead: age of dead ones, ms
-- $3 bigint cancelled: age of cancelled ones, ms
-- $4 boolean delete_objects: have their files removed
-- $5 int at_most: at most so many
-- $6 boolean dry_run: only say what would go
select exportbox.prune($1::bigint * interval '1 millisecond', $2::bigint * interval '1 millisecond', $3::bigint * interval '1 millisecond',
    $4::boolean, $5::int, $6::boolean) as said
