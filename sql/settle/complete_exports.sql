-- name: complete_exports
-- Store the manifests of exports that are done together, and queue one message per recipient: of each export both or neither. An export that
-- somebody cancelled before this is cancelled: whoever was told so gets no mail, and the sweep removes what was stored. An export that is missing
-- from the answer has lost its lease, and nothing of it is written.
-- $1 uuid[] jobs: job ids
-- $2 uuid[] tokens: their lease tokens
-- $3 text[] buckets: bucket of each
-- $4 bigint[] rows: rows of all its parts
-- $5 text[] content_types: content type of each
-- $6 text[] filenames: filename of each
-- $7 timestamptz[] as_of: instant whose data it is
-- $8 uuid[] part_tokens: of each part, the lease token of its export
-- $9 int[] part_numbers: number of the part in its file
-- $10 text[] part_keys: key of each part
-- $11 bigint[] part_bytes: bytes of each part
-- $12 text[] part_checksums: checksum of each part, or null
with
done as (
    select done.job_id, done.lease_token, done.bucket, done.rows, done.content_type, done.filename, done.as_of
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[])
        as done (job_id, lease_token, bucket, rows, content_type, filename, as_of)
),
part as materialized (
    select part.lease_token, part.number, part.key, part.bytes, part.checksum
    from unnest($8::uuid[], $9::int[], $10::text[], $11::bigint[], $12::text[]) as part (lease_token, number, key, bytes, checksum)
),
settled as (
    update exportbox.job
    set
        state = case when job.cancel_requested_at is null then 'completed' else 'cancelled' end, -- guard: cancel
        finished_at = now(),
        error_class = case when job.cancel_requested_at is null then job.error_class else 'cancelled' end,
        error = case when job.cancel_requested_at is null then job.error else 'Cancelled while it ran.' end,
        lease_token = null, lease_expires_at = null, deadline_at = null, worker = null
    from done
    where job.id = done.job_id
        and job.lease_token = done.lease_token -- guard: lease token
    returning job.id, job.export_id, job.report, job.priority, job.state,
        done.lease_token, done.bucket, done.rows, done.content_type, done.filename, done.as_of
),
closed as (
    update exportbox.attempt
    set finished_at = now(), outcome = settled.state, rows = settled.rows,
        bytes = (select sum(part.bytes) from part where part.lease_token = settled.lease_token)
    from settled
    where attempt.lease_token = settled.lease_token
),
stored as (
    insert into exportbox.object (export_id, part, lease_token, bucket, key, bytes, rows, checksum, content_type, filename, as_of)
    select settled.export_id, part.number, settled.lease_token, settled.bucket, part.key, part.bytes,
        case when part.number = 1 then settled.rows end, part.checksum, settled.content_type, settled.filename, settled.as_of
    from settled
    join part on part.lease_token = settled.lease_token
    where settled.state = 'completed'
),
-- Duplicates collapse; the domain's case never matters, and no provider in use tells local parts apart by case.
recipient as materialized (
    select exportbox.new_id() as id, settled.export_id, settled.report, settled.priority, named.address
    -- As they are now, not as they were when this statement began: it may have waited for somebody who was erasing one.
    -- guard: recipients now
    from exportbox.recipients_now((select array_agg(settled.export_id) from settled where settled.state = 'completed')) as wanted
    join settled on settled.export_id = wanted.export_id
    cross join lateral (
        select distinct on (lower(listed.address)) listed.address
        from unnest(wanted.recipients) with ordinality as listed (address, position)
        order by lower(listed.address), listed.position
    ) as named
),
queued as (
    insert into exportbox.job (id, export_id, kind, report, priority)
    select recipient.id, recipient.export_id, 'message', recipient.report, recipient.priority
    from recipient
),
addressed as (
    insert into exportbox.message (id, origin, recipient)
    select recipient.id, 'export', recipient.address
    from recipient
),
told as (
    insert into exportbox.event (export_id, job_id, kind)
    select settled.export_id, settled.id, 'cancelled'
    from settled
    where settled.state = 'cancelled'
)
select settled.lease_token, settled.state
from settled
