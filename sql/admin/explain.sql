-- name: explain
-- Why each job of an export is where it is, as JSON.
-- $1 uuid: export id
select to_jsonb(explained) as job
from exportbox.explain($1::uuid) as explained
