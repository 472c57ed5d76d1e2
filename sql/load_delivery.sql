-- name: load_delivery
-- What a mail says, and to whom. No row: the lease is lost.
-- $1 bigint: job id
-- $2 uuid: lease token
select
    delivery.id,
    delivery.recipient,
    outbox.report,
    outbox.subject,
    outbox.message,
    (extract(epoch from outbox.link_ttl) * 1000)::bigint as link_ttl_ms
from exportbox.job
join exportbox.delivery on delivery.job_id = job.id
join exportbox.outbox on outbox.id = job.export_id
where job.id = $1::bigint and job.lease_token = $2::uuid
