-- name: show_events
-- What was out of the ordinary with an export, oldest first.
-- $1 uuid: export id
select to_jsonb(events) as event
from exportbox.events
where events.export_id = $1::uuid
order by events.id
limit 200
