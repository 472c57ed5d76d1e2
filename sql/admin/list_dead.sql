-- name: list_dead
-- Dead letters, the newest first.
-- $1 uuid export_id: export id, or null
-- $2 text kind: kind, or null
-- $3 text report: report, or null
-- $4 text error_class: error class, or null
-- $5 text requester: requester, or null
-- $6 timestamptz since: died since, or null
-- $7 timestamptz until: died before, or null
-- $8 bigint at_most: how many
select to_jsonb(dead) as dead
from exportbox.dead
where ($1::uuid is null or dead.export_id = $1::uuid)
    and ($2::text is null or dead.kind = $2::text)
    and ($3::text is null or dead.report = $3::text)
    and ($4::text is null or dead.error_class = $4::text)
    and ($5::text is null or dead.requested_by = $5::text)
    and dead.died_at >= coalesce($6::timestamptz, '-infinity')
    and dead.died_at < coalesce($7::timestamptz, 'infinity')
order by dead.died_at desc, dead.job_id desc
limit $8::bigint
