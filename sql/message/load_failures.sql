-- name: load_failures
-- What a failure notice speaks of: the exports of it that are dead still, oldest first, and how many there are.
-- $1 uuid: notice id
select outbox.id, outbox.report, outbox.requested_at, job.error_class, count(*) over () as exports
from exportbox.notice_export
join exportbox.outbox on outbox.id = notice_export.export_id
join exportbox.job on job.export_id = outbox.id and job.kind = 'export' and job.state = 'dead'
where notice_export.notice_id = $1::uuid
order by outbox.requested_at, outbox.id
limit 50
