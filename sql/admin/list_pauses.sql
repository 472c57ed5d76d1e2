-- name: list_pauses
-- What is paused, oldest first, as JSON.
select to_jsonb(pauses) as pause
from exportbox.pauses
order by pauses.paused_at, pauses.scope
