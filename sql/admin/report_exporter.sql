-- name: report_exporter
-- Whether aws_s3 would export a report in the database, and why, as far as the database knows.
-- $1 text name: name
-- $2 int version: version; null: the current one
-- $3 oid[] types: types of its columns, null where they are not known
select way.is_in_database, way.reason, way.sentence, way.what_to_do, reports.split_key is not null as has_split_key
from exportbox.reports
cross join lateral exportbox.exporter_of(reports.name, reports.version, $3::oid[]) as way
where reports.name = $1::text and case when $2::int is null then reports.is_current else reports.version = $2::int end
