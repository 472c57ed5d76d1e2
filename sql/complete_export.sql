-- name: complete_export
-- Store the manifest and queue one delivery per recipient: both or neither. An export that somebody cancelled before this is cancelled: whoever
-- was told so gets no mail, and the sweep removes what was stored.
-- $1 bigint: job id
-- $2 uuid: lease token
-- $3 text: bucket
-- $4 text[]: keys, in order of the parts
-- $5 bigint[]: bytes of each
-- $6 text[]: checksum of each, or null
-- $7 bigint: rows of all parts
-- $8 text: content type
-- $9 text: filename
-- $10 timestamptz: instant whose data this is
with
settled as (
    update exportbox.job
    set state = case when job.cancel_requested_at is null then 'completed' else 'cancelled' end, finished_at = now(),
        error_class = case when job.cancel_requested_at is null then job.error_class else 'cancelled' end,
        error = case when job.cancel_requested_at is null then job.error else 'Cancelled while it ran.' end,
        lease_token = null, lease_expires_at = null, deadline_at = null, worker = null
    where job.id = $1::bigint and job.lease_token = $2::uuid
    returning job.id, job.export_id, job.report, job.priority, job.state
),
closed as (
    update exportbox.attempt
    set finished_at = now(), outcome = settled.state, rows = $7::bigint,
        bytes = (select sum(size.bytes) from unnest($5::bigint[]) as size (bytes))
    from settled
    where attempt.lease_token = $2::uuid
),
stored as (
    insert into exportbox.object (export_id, part, lease_token, bucket, key, bytes, rows, checksum, content_type, filename, as_of)
    select settled.export_id, part.number, $2::uuid, $3::text, part.key, part.bytes,
        case when part.number = 1 then $7::bigint end, part.checksum, $8::text, $9::text, $10::timestamptz
    from settled
    cross join unnest($4::text[], $5::bigint[], $6::text[]) with ordinality as part (key, bytes, checksum, number)
    where settled.state = 'completed'
),
-- Duplicates collapse; the domain's case never matters, and no provider in use tells local parts apart by case.
recipient as materialized (
    select nextval(pg_get_serial_sequence('exportbox.job', 'id')) as job_id, settled.export_id, settled.report, settled.priority, named.address
    from settled
    cross join lateral (
        select distinct on (lower(listed.address)) listed.address
        -- As they are now, not as they were when this statement began: it may have waited for somebody who was erasing one.
        from unnest(exportbox.recipients_now(settled.export_id)) with ordinality as listed (address, position)
        order by lower(listed.address), listed.position
    ) as named
    where settled.state = 'completed'
),
queued as (
    insert into exportbox.job (id, export_id, kind, report, priority)
    select recipient.job_id, recipient.export_id, 'delivery', recipient.report, recipient.priority
    from recipient
    returning job.id
),
addressed as (
    insert into exportbox.delivery (job_id, export_id, recipient)
    select recipient.job_id, recipient.export_id, recipient.address
    from recipient
),
told as (
    insert into exportbox.event (export_id, job_id, kind)
    select settled.export_id, settled.id, 'cancelled'
    from settled
    where settled.state = 'cancelled'
)
select settled.id, settled.state, (select count(*) from queued) as deliveries
from settled
