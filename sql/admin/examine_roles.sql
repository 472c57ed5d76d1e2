-- name: examine_roles
-- Whose rights exports have, on which source, and with which key: those of the current reports, and of whoever has sent queries of late.
select distinct report.source, report.run_as as role, report.kms_key
from exportbox.report
where report.disabled_at is null
    and report.version = (select max(latest.version) from exportbox.report as latest where latest.name = report.name)
union
select 'default', recent.requested_by, null
from (
    select outbox.requested_by, outbox.query
    from exportbox.outbox
    order by outbox.id desc
    limit 1000
) as recent
where recent.query is not null
order by 1, 2, 3
