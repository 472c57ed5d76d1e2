-- name: load_delivery
-- Stamp a delivery as sending and return what the mail says. No row: the lease is lost, and nothing may be sent.
-- $1 bigint: job id
-- $2 uuid: lease token
with
held as (
    select job.id, job.export_id
    from exportbox.job
    where job.id = $1::bigint and job.lease_token = $2::uuid
    for update
),
stamped as (
    update exportbox.delivery
    set status = 'sending', updated_at = now()
    from held
    where delivery.job_id = held.id
    returning delivery.id, delivery.job_id, delivery.export_id, delivery.recipient
)
select
    stamped.id,
    stamped.recipient,
    stamped.export_id,
    outbox.report,
    outbox.subject,
    outbox.message,
    outbox.compression,
    (extract(epoch from outbox.link_ttl) * 1000)::bigint as link_ttl_ms
from stamped
join exportbox.outbox on outbox.id = stamped.export_id
