-- name: load_manifest
-- The stored files of an export, in order.
-- $1 uuid: export id
select object.part, object.bucket, object.key, object.bytes, object.rows, object.checksum, object.content_type, object.filename,
    object.as_of, object.created_at
from exportbox.object
where object.export_id = $1::uuid
order by object.part
