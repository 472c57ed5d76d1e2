-- name: set_priority
-- Put what waits of an export before or behind others.
-- $1 uuid: export id
-- $2 int: 0 (first) to 9
select exportbox.set_priority($1::uuid, $2::int) as jobs
