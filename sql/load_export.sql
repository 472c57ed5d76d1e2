-- name: load_export
-- What an export job needs to know about its request.
-- $1 bigint: job id
-- $2 uuid: lease token
select
    outbox.report,
    coalesce(report.query, outbox.query) as query,
    coalesce(report.run_as, outbox.requested_by) as run_as,
    case when report.name is null then outbox.params
        -- Declared parameters that were not given are set to null all the same: a setting must not leak in from elsewhere.
        else coalesce((select jsonb_object_agg(declared.name, outbox.params -> declared.name) from jsonb_object_keys(report.params) as declared (name)), '{}')
    end as params,
    cardinality(outbox.recipients) as recipients,
    outbox.format,
    outbox.compression,
    outbox.format_options,
    outbox.filename
from exportbox.job
join exportbox.outbox on outbox.id = job.export_id
left join exportbox.report on report.name = outbox.report and report.version = job.report_version
where job.id = $1::bigint and job.lease_token = $2::uuid
