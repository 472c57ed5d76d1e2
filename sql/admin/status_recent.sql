-- name: status_recent
-- The newest exports, as JSON.
-- $1 bigint: how many
select to_jsonb(exports) as export
from exportbox.exports
order by exports.id desc
limit $1::bigint
