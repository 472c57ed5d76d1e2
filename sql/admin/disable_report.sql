-- name: disable_report
-- Take no new requests for a report.
-- $1 text: name
select exportbox.disable_report($1::text) as version
