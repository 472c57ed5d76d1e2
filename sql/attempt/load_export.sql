-- name: load_export
-- What an export job needs to know about its request.
-- $1 uuid: job id
-- $2 uuid: lease token
select
    outbox.report,
    coalesce(report.query, outbox.query) as query,
    coalesce(report.run_as, outbox.requested_by) as run_as,
    coalesce(job.params, outbox.params) as params,
    cardinality(outbox.recipients) as recipients,
    outbox.format,
    outbox.compression,
    outbox.format_options,
    outbox.filename,
    coalesce(report.source, 'default') as source,
    report.prefix,
    report.kms_key,
    report.max_rows,
    report.max_bytes,
    report.split_key,
    exportbox.sealed_name(report.name, report.version) as sealed
from exportbox.job
join exportbox.outbox on outbox.id = job.export_id
left join exportbox.report on report.name = outbox.report and report.version = job.report_version
where job.id = $1::uuid and job.lease_token = $2::uuid
