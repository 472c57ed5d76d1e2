-- name: show_export
-- One export as JSON.
-- $1 uuid: export id
select to_jsonb(exports) as export
from exportbox.exports
where exports.id = $1::uuid
