-- name: schema_versions
-- Which migrations this database has. Run at start: a schema that is older or newer than the program is refused.
select history.version, history.name
from exportbox.schema_history as history
order by history.version
