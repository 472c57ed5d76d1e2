-- name: register_report
-- Add a report, or a new version of one. Its query has been planned where it will run, which need not be this database.
-- $1 text name: name
-- $2 text query: query
-- $3 jsonb params: declared parameters
-- $4 text run_as: role that it runs as
-- $5 text description: description
-- $6 text[] requesters: roles whose members may request it
-- $7 text[] formats: formats
-- $8 bigint max_rows: most rows
-- $9 bigint max_bytes: most bytes
-- $10 bigint timeout: longest attempt, ms
-- $11 text[] domains: domains of recipients
-- $12 int max_recipients: most recipients
-- $13 bigint object_life: life of its files, ms
-- $14 text kms_key: KMS key
-- $15 text prefix: prefix of its keys
-- $16 text source: source
-- $17 text split_key: column that several backends split it by
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
