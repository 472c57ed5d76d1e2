-- name: load_message
-- To whom a mail goes, and what it says: for each origin the values that its templates are made from. Null: there is nothing to tell any more. No
-- row: the lease is lost.
-- $1 uuid: job id
-- $2 uuid: lease token
select
    message.recipient,
    message.origin,
    job.export_id,
    case message.origin
        -- The link to a file.
        when 'export' then (
            select jsonb_build_object(
                'report', outbox.report,
                'subject', outbox.subject,
                'message', outbox.message,
                'link_ttl_ms', (extract(epoch from outbox.link_ttl) * 1000)::bigint,
                'object_life_ms', (extract(epoch from report.object_life) * 1000)::bigint,
                'files', (select jsonb_agg(to_jsonb(object) order by object.part) from exportbox.object where object.export_id = outbox.id))
            from exportbox.outbox
            -- The version that the file was made with.
            join exportbox.job as export on export.id = outbox.id
            left join exportbox.report on report.name = outbox.report and report.version = export.report_version
            where outbox.id = job.export_id)
        -- The exports of a notice that are dead still: the oldest fifty, and how many there are.
        when 'failure' then (
            select jsonb_build_object('count', max(failed.exports), 'exports', jsonb_agg(to_jsonb(failed) order by failed.requested_at, failed.id))
            from (
                select outbox.id, outbox.report, outbox.requested_at, export.error_class, count(*) over () as exports
                from exportbox.message_export
                join exportbox.outbox on outbox.id = message_export.export_id
                join exportbox.job as export on export.id = outbox.id and export.state = 'dead'
                where message_export.message_id = message.id
                order by outbox.requested_at, outbox.id
                limit 50
            ) as failed
            having count(*) > 0)
        -- What died within a time and is dead still, by kind, class and code: the hundred most frequent.
        when 'digest' then (
            select jsonb_build_object('from', message.covers_from, 'until', message.covers_until,
                'lines', jsonb_agg(to_jsonb(line) order by line.jobs desc, line.kind, line.error_class))
            from (
                select exportbox.shown_kind(buried.kind) as kind, buried.error_class, exportbox.error_code(last.error_detail) as code,
                    count(*) as jobs, min(buried.finished_at) as oldest, max(buried.finished_at) as newest,
                    exportbox.remedy(buried.error_class) as what_to_do
                from exportbox.job as buried
                left join lateral (
                    select attempt.error_detail
                    from exportbox.attempt
                    where attempt.job_id = buried.id
                    order by attempt.number desc
                    limit 1
                ) as last on true
                where buried.state = 'dead' and buried.export_id is not null
                    and buried.finished_at >= message.covers_from and buried.finished_at < message.covers_until
                group by buried.kind, buried.error_class, exportbox.error_code(last.error_detail)
                order by count(*) desc, buried.kind, buried.error_class
                limit 100
            ) as line
            having count(*) > 0)
    end as content
from exportbox.job
join exportbox.message on message.id = job.id
where job.id = $1::uuid and job.lease_token = $2::uuid
