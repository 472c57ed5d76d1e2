-- name: show_report
-- One version of a report, as the caller may see it.
-- $1 text: name
-- $2 int: version; null: the current one
select to_jsonb(reports.*) as report
from exportbox.reports
where reports.name = $1::text and case when $2::int is null then reports.is_current else reports.version = $2::int end
