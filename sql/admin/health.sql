-- name: health
-- The health view as one JSON object.
select to_jsonb(health) as health
from exportbox.health
