-- name: show_deliveries
-- The deliveries of an export.
-- $1 uuid: export id
select to_jsonb(deliveries) as delivery
from exportbox.deliveries
where deliveries.export_id = $1::uuid
order by deliveries.id
