-- The catalogue as people read it.

create view exportbox.reports with (security_barrier) as
select report.name, report.version, report.version = latest.version as is_current, report.disabled_at, report.description, report.params, report.formats,
    report.max_rows, report.max_bytes, report.timeout, report.recipient_domains, report.max_recipients, report.object_life,
    case when sees.all_of_it then report.run_as end as run_as, case when sees.all_of_it then report.requesters end as requesters,
    case when sees.all_of_it then report.source end as source, case when sees.all_of_it then report.prefix end as prefix,
    case when sees.all_of_it then report.kms_key end as kms_key,
    case when pg_has_role(current_user, 'exportbox_operator', 'usage') then report.query end as query,
    report.created_at, case when sees.all_of_it then report.created_by end as created_by,
    case when sees.all_of_it then report.split_key end as split_key
from exportbox.report
cross join (select pg_has_role(current_user, 'exportbox_reader', 'usage') as all_of_it) as sees
cross join lateral (select max(newer.version) as version from exportbox.report as newer where newer.name = report.name) as latest
where sees.all_of_it
    or report.version = latest.version and report.disabled_at is null and exportbox.may_request(report.requesters, current_user);
comment on view exportbox.reports is 'The catalogue. Readers see every version, requesters what they may ask for now.';
comment on column exportbox.reports.name is 'What a request writes into outbox.report.';
comment on column exportbox.reports.version is 'Counts up with each registration.';
comment on column exportbox.reports.is_current is 'The version that new requests get.';
comment on column exportbox.reports.disabled_at is 'Takes no new requests since then.';
comment on column exportbox.reports.description is 'What it is for.';
comment on column exportbox.reports.params is 'Declared parameters, in their long form.';
comment on column exportbox.reports.formats is 'Formats that a request may ask for; null: all.';
comment on column exportbox.reports.max_rows is 'Ceiling of data rows.';
comment on column exportbox.reports.max_bytes is 'Ceiling of the stored file''s size.';
comment on column exportbox.reports.timeout is 'Ceiling of one attempt''s time.';
comment on column exportbox.reports.recipient_domains is 'Domains that may get a mail; null: all.';
comment on column exportbox.reports.max_recipients is 'Most addresses of one request; null: 50.';
comment on column exportbox.reports.object_life is 'How long the bucket keeps the file; null: the daemon''s setting.';
comment on column exportbox.reports.run_as is 'The role whose rights the query has; readers only.';
comment on column exportbox.reports.requesters is 'Roles whose members may request it, null: all requesters; readers only.';
comment on column exportbox.reports.source is 'Where the query runs; readers only.';
comment on column exportbox.reports.prefix is 'Where its files lie under the daemon''s prefix; readers only.';
comment on column exportbox.reports.kms_key is 'The key its files are encrypted with; readers only.';
comment on column exportbox.reports.query is 'The SELECT; operators only.';
comment on column exportbox.reports.created_at is 'When this version was registered.';
comment on column exportbox.reports.created_by is 'Who registered it; readers only.';
comment on column exportbox.reports.split_key is 'The column by whose ranges several backends export one file; readers only.';

grant select on exportbox.reports to exportbox_reader, exportbox_operator, exportbox_requester;
