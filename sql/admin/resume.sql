-- name: resume
-- End a pause.
-- $1 text: what was paused
select exportbox.resume($1::text) as was_paused
