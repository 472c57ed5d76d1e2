-- name: read_report_params
-- What a request's values come to: checked and written as the door does it.
-- $1 text report: name of the report
-- $2 jsonb declared: declared parameters
-- $3 jsonb given: values
select exportbox.read_params($1::text, exportbox.declare_params($2::jsonb), $3::jsonb) as params
