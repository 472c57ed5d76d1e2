-- name: take_chores
-- What is to be done now and then and is due: whoever takes it moves it on, so that one process does it.
-- $1 text: worker id
update exportbox.chore
set due_at = now() + case chore.name when 'uploads' then interval '1 day' else interval '1 hour' end, worker = $1::text
where chore.due_at <= now()
returning chore.name
