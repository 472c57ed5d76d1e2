-- name: seal_report
-- Make the function that is a report, for exports through aws_s3; done already, it does nothing.
-- $1 text: name
-- $2 int: version; null: the current one
select exportbox.seal_report($1::text, $2::int) as sealed
