-- name: report_exporters
-- The same as report_exporter of every current report that takes requests.
select reports.name, way.is_in_database, way.reason, way.sentence, way.what_to_do, reports.split_key is not null as has_split_key
from exportbox.reports
cross join lateral exportbox.exporter_of(reports.name, reports.version) as way
where reports.is_current and reports.disabled_at is null
order by reports.name
