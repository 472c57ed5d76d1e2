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
    (extract(epoch from outbox.link_ttl) * 1000)::bigint as link_ttl_ms,
    (extract(epoch from report.object_life) * 1000)::bigint as object_life_ms
from exportbox.job
join exportbox.delivery on delivery.job_id = job.id
join exportbox.outbox on outbox.id = job.export_id
-- The version that the file was made with.
left join exportbox.job as export on export.export_id = job.export_id and export.kind = 'export'
left join exportbox.report on report.name = outbox.report and report.version = export.report_version
where job.id = $1::bigint and job.lease_token = $2::uuid
