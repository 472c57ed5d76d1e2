-- name: list_reports
-- The current version of every report, as the caller may see it.
select to_jsonb(reports.*) as report
from exportbox.reports
where reports.is_current
order by reports.name
