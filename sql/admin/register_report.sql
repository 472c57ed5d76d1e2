-- name: register_report
-- Add a report, or a new version of one. Its query has been planned where it will run, which need not be this database.
-- $1 text: name
-- $2 text: query
-- $3 jsonb: declared parameters
-- $4 text: role that it runs as
-- $5 text: description
-- $6 text[]: roles whose members may request it
-- $7 text[]: formats
-- $8 bigint: most rows
-- $9 bigint: most bytes
-- $10 bigint: longest attempt, ms
-- $11 text[]: domains of recipients
-- $12 int: most recipients
-- $13 bigint: life of its files, ms
-- $14 text: KMS key
-- $15 text: prefix of its keys
-- $16 text: source
-- $17 text: column that several backends split it by
with
before as materialized (
    select max(reports.version) as version
    from exportbox.reports
    where reports.name = $1::text and reports.is_current and reports.disabled_at is null
)
select before.version as before, exportbox.register_report($1::text, $2::text, params => $3::jsonb, run_as => $4::text, description => $5::text,
    requesters => $6::text[], formats => $7::text[], max_rows => $8::bigint, max_bytes => $9::bigint,
    timeout => $10::bigint * interval '1 millisecond', recipient_domains => $11::text[], max_recipients => $12::int,
    object_life => $13::bigint * interval '1 millisecond', kms_key => $14::text, prefix => $15::text, source => $16::text,
    split_key => $17::text, plan => false) as version
from before
