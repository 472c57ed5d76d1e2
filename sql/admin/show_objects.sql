-- name: show_objects
-- The stored files of an export.
-- $1 uuid: export id
select to_jsonb(objects) as object
from exportbox.objects
where objects.export_id = $1::uuid
order by objects.part
