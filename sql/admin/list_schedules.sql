-- name: list_schedules
-- The schedules, as the caller may see them.
-- $1 text: the one of this name, or null for all
select to_jsonb(schedules.*) as schedule
from exportbox.schedules
where $1::text is null or schedules.name = $1::text
order by schedules.name
