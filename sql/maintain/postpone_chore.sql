-- name: postpone_chore
-- A chore was not finished: it is due again after this long.
-- $1 text: chore
-- $2 bigint: delay, ms
update exportbox.chore
set due_at = least(chore.due_at, now() + $2::bigint * interval '1 millisecond')
where chore.name = $1::text
