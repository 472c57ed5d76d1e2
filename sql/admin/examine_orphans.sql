-- name: examine_orphans
-- How many stored objects belong to nothing: no manifest names them, and no attempt that runs or is to be swept has made them.
-- $1 text bucket: bucket
-- $2 text[] keys: keys
-- $3 uuid[] tokens: the lease token in each key
select count(*) as orphans
from unnest($2::text[], $3::uuid[]) as found (key, lease_token)
where not exists (select from exportbox.object where object.bucket = $1::text and object.key = found.key)
    and not exists (
        select
        from exportbox.attempt
        where attempt.lease_token = found.lease_token and (attempt.finished_at is null or attempt.sweep_after < 'infinity'))
