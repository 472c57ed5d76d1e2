-- The catalogue of reports: who may ask for one, what it allows, how it is registered, and the view that people read.

-- A body without quotes is bound to these very operators now; one in quotes would be read by the search path of whoever asks.
create function exportbox.may_request(requesters text[], who text) returns boolean
language sql stable
return requesters is null
    or exists (select from pg_roles where rolname = any (requesters) and pg_has_role(who, pg_roles.oid, 'member'));
comment on function exportbox.may_request(text[], text) is 'Whether a role is one of a report''s requesters, or a member of one.';
grant execute on function exportbox.may_request(text[], text) to exportbox_requester, exportbox_operator, exportbox_reader;

create function exportbox.check_requester(who text, catalogued exportbox.report) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if not exportbox.may_request(catalogued.requesters, who) then -- guard: requesters
        raise exception using errcode = 'EB013', message = format('role "%s" may not request report "%s"', who, catalogued.name),
            hint = 'Ask an operator to name a role of yours among the report''s requesters, or use another report.';
    end if;
end
$$;
comment on function exportbox.check_requester(text, exportbox.report) is 'Who may request a report.';

create function exportbox.check_limits(request exportbox.outbox, catalogued exportbox.report) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    address text;
    domain text;
begin
    if request.format <> all (catalogued.formats) then
        raise exception using errcode = 'EB024', message = format('report "%s" is not made as %s', request.report, request.format),
            hint = format('Set format to %s.', array_to_string(catalogued.formats, ' or '));
    end if;
    if cardinality(request.recipients) > catalogued.max_recipients then -- guard: number of recipients
        raise exception using errcode = 'EB010',
            message = format('%s recipients are too many for report "%s"', cardinality(request.recipients), request.report),
            hint = case catalogued.max_recipients when 0 then 'It is not mailed: leave recipients empty and read the file from the bucket.'
                else format('Name at most %s.', catalogued.max_recipients) end;
    end if;
    foreach address in array request.recipients loop
        domain := lower(split_part(address, '@', 2));
        if not exists (select from unnest(catalogued.recipient_domains) as allowed (name) -- guard: domains
                -- guard: whole labels
                where allowed.name = domain or (allowed.name like '*.%' and right(domain, length(allowed.name) - 1) = substr(allowed.name, 2)))
            and catalogued.recipient_domains is not null then
            raise exception using errcode = 'EB012', message = format('report "%s" is not mailed to "%s"', request.report, left(domain, 100)),
                hint = format('Allowed domains: %s.', array_to_string(catalogued.recipient_domains, ', '));
        end if;
    end loop;
end
$$;
comment on function exportbox.check_limits(exportbox.outbox, exportbox.report) is 'What a report allows of formats and recipients.';

create function exportbox.assert_requestable(catalogued exportbox.report, name text, requester text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if catalogued.name is null then
        raise exception using errcode = 'EB002', message = format('there is no report "%s"', name),
            hint = 'Use a name from the catalogue, or have the report registered with exportbox.register_report().';
    end if;
    if catalogued.disabled_at is not null then
        raise exception using errcode = 'EB002', message = format('report "%s" is disabled', name),
            hint = 'Ask an operator, or use another report.';
    end if;
    perform exportbox.check_requester(requester, catalogued);
end
$$;
comment on function exportbox.assert_requestable(exportbox.report, text, text) is 'Refuse a report that is not there, disabled, or not for this role.';

create function exportbox.may_run(role text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
    -- What the daemon, operators and readers have of exportbox, and what the server keeps for itself, no author of a report lends himself. His own
    -- rights he has.
    select role !~ '^(pg_|exportbox_)' and (role = exportbox.acting_role() or not exists ( -- guard: roles of the server
        select from pg_roles as reserved
        where pg_has_role(role, reserved.oid, 'member') and (
            reserved.rolname in ('exportbox_worker', 'exportbox_operator', 'exportbox_reader') -- guard: roles of exportbox
            or reserved.oid = (select relowner from pg_class where pg_class.oid = 'exportbox.report'::regclass) -- guard: owner of the schema
        )))
$$;
comment on function exportbox.may_run(text) is 'Whether reports may run as this role.';

create function exportbox.check_report(report exportbox.report) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    wrong text;
    hint text;
    word text;
begin
    if coalesce(report.name, '') !~ '^[a-z][a-z0-9_.-]{0,62}$' then
        raise exception using errcode = 'EB060', message = 'a report''s name starts with a lower-case letter and has up to 63 letters, digits, "_", "-" and "."';
    end if;
    if coalesce(report.query, '') !~ '\S' then
        raise exception using errcode = 'EB060', message = 'a report needs a query', hint = 'Give one SELECT statement.';
    end if;
    foreach word in array array[report.run_as] || report.requesters loop
        if not exists (select from pg_roles where rolname = word) then
            raise exception using errcode = 'EB060', message = format('there is no role "%s"', word),
                hint = 'run_as is the role whose rights the query has; requesters are roles whose members may request it.';
        end if;
    end loop;
    if not exportbox.may_run(report.run_as) then -- guard: run as
        raise exception using errcode = 'EB060', message = format('no report runs as "%s"', report.run_as),
            hint = 'Set run_as to a role that can read what the query needs and no more.';
    end if;
    foreach word in array coalesce(array_remove(report.formats, null), '{}') loop
        perform exportbox.check_format(word, 'none', '{}');
    end loop;
    foreach word in array coalesce(report.recipient_domains, '{}') loop
        if word !~ '^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$' then
            raise exception using errcode = 'EB060', message = format('recipient_domains: "%s" is no domain', word),
                hint = 'Write example.com for that domain alone, *.example.com for every one below it.';
        end if;
    end loop;
    select check_of.word, check_of.hint into wrong, hint
    from (values
        ('requesters', report.requesters <> '{}' and array_position(report.requesters, null) is null, 'Name roles, or leave it out: every member of exportbox_requester.'),
        ('formats', report.formats <> '{}' and array_position(report.formats, null) is null, 'Name formats, or leave it out: all.'),
        ('recipient_domains', report.recipient_domains <> '{}' and array_position(report.recipient_domains, null) is null, 'Name domains, or leave it out; max_recipients 0 allows no mail at all.'),
        ('max_rows', report.max_rows >= 1, 'Use 1 or more, or leave it out.'),
        ('max_bytes', report.max_bytes >= 1, 'Use 1 or more, or leave it out.'),
        ('timeout', report.timeout between interval '1 second' and interval '7 days', 'Use 1 second to 7 days.'),
        ('max_recipients', report.max_recipients between 0 and 50, 'Use 0 to 50.'),
        ('object_life', report.object_life >= interval '1 minute', 'Use a minute or more.'),
        ('kms_key', report.kms_key ~ '^[A-Za-z0-9:/_.-]+$' and length(report.kms_key) <= 2048, 'Give the id, alias or ARN of a KMS key.'),
        ('prefix', report.prefix ~ '^[A-Za-z0-9!_.*''()-]+(/[A-Za-z0-9!_.*''()-]+)*$' and report.prefix !~ '(^|/)\.+(/|$)' and length(report.prefix) <= 200,
            'Use up to 200 letters, digits and !_.*''()- with single slashes between, none at the ends.'),
        ('source', report.source ~ '^[a-z][a-z0-9_-]{0,62}$', 'Give a name of EXPORTBOX_SOURCES, or leave it out.'),
        ('split_key', length(report.split_key) between 1 and 63, 'Name one column of the query, or ctid; or leave it out.'),
        ('description', length(report.description) <= 4000, 'Use up to 4000 characters.')
    ) as check_of (word, holds, hint)
    where not check_of.holds
    limit 1;
    if found then
        raise exception using errcode = 'EB060', message = format('%s is not usable', wrong), hint = hint;
    end if;
end
$$;
comment on function exportbox.check_report(exportbox.report) is 'Every rule of a report, so that a wrong one is refused at its registration.';

create function exportbox.as_set(list text[]) returns text[]
language sql immutable parallel safe
return case when list is not null then array(select distinct element.value from unnest(list) as element (value) order by element.value) end;
comment on function exportbox.as_set(text[]) is 'A list whose order and duplicates mean nothing, always written alike.';

create function exportbox.store_report(definition jsonb) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    report exportbox.report := jsonb_populate_record(null::exportbox.report, definition);
    latest exportbox.report;
begin
    report.run_as := coalesce(report.run_as, exportbox.acting_role());
    report.source := coalesce(report.source, 'default');
    report.requesters := exportbox.as_set(report.requesters);
    report.formats := exportbox.as_set(report.formats);
    report.recipient_domains := exportbox.as_set(lower(report.recipient_domains::text)::text[]);
    perform exportbox.check_report(report);
    report.params := exportbox.declare_params(report.params);

    perform pg_advisory_xact_lock(hashtext('exportbox.report'), hashtext(report.name));
    select r.* into latest from exportbox.report as r where r.name = report.name order by r.version desc limit 1;
    report.version := latest.version;
    report.created_at := latest.created_at;
    report.created_by := latest.created_by;
    -- Disabled is a difference, too.
    if found and report is not distinct from latest then
        return latest.version;
    end if;
    report.version := coalesce(latest.version, 0) + 1;
    report.created_at := now();
    report.created_by := exportbox.acting_role();
    -- The role that runs the report must be able to read its parameters, and sealing reads the query as that role.
    if not has_schema_privilege(report.run_as, 'exportbox', 'usage') or not has_function_privilege(report.run_as, 'exportbox.param(text)', 'execute') then
        -- Two grants on one object at once: the second would fail.
        perform pg_advisory_xact_lock(hashtext('exportbox'), hashtext('grant'));
        execute format('grant usage on schema exportbox to %I', report.run_as);
        execute format('grant execute on function exportbox.param(text) to %I', report.run_as);
    end if;
    insert into exportbox.report select report.*;
    insert into exportbox.event (kind, detail) values ('report_registered', format('%s version %s', report.name, report.version));
    return report.version;
end
$$;
comment on function exportbox.store_report(jsonb) is 'Add a report or a new version of one; the same definition again changes nothing. Returns the version.';
grant execute on function exportbox.store_report(jsonb) to exportbox_operator;

create function exportbox.plan_report(version integer, query text, run_as text, path text, split_key text) returns integer
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    runner text := coalesce(run_as, exportbox.acting_role());
    bare text := rtrim(query, E'; \n\r\t');
    planned refcursor;
    told text;
begin
    begin
        begin
            perform set_config('role', runner, true); -- guard: role of the report
        exception when insufficient_privilege or undefined_object or invalid_parameter_value then
            raise exception using errcode = 'EB063',
                message = format('role "%s" may not become "%s", so the query cannot be planned with its rights', session_user, runner),
                hint = format('Have an administrator run: grant %I to %I; or use exportbox report add, which plans where the daemon runs it; or pass plan => false.',
                    runner, session_user);
        end;
        perform set_config('search_path', path, true), set_config('transaction_read_only', 'on', true);
        -- Opening checks that this is one statement, that all names exist and that the role may read them. Nothing is fetched.
        open planned no scroll for execute query; close planned; -- guard: alone
        -- And that it is a SELECT throughout: nothing that writes can stand in parentheses.
        open planned no scroll for execute format(E'select from (\n%s\n) as planned', bare); -- guard: in parentheses
        if split_key is not null then
            perform set_config('enable_seqscan', 'off', true);
            begin
                -- Limit 0: nothing is run.
                execute case when split_key <> 'ctid' then format(E'select pg_typeof(line.%1$I) from (values (1)) as one left join (select * from (\n%2$s\n) as planned limit 0) as line on true', split_key, bare)
                    else format(E'explain (format json) %s\nwhere ctid >= ''(0,0)'' and ctid < ''(1,0)''', bare) end into told;
            exception when undefined_column or ambiguous_column or syntax_error then
                told := '';
            end;
            if coalesce(case when split_key = 'ctid' then nullif(told, '')::json #>> '{0,Plan,Node Type}' else told end, '')
                <> all ('{Tid Range Scan,smallint,integer,bigint,numeric,date,timestamp without time zone,timestamp with time zone,uuid,text,character varying}') then
                raise exception using errcode = 'EB060', message = format('split_key "%s" is not usable', split_key),
                    hint = 'Name one column of the query that is an integer, numeric, date, timestamp, uuid or text; or ctid, where the query is nothing but: select columns from table.';
            end if;
        end if;
        raise exception using errcode = 'EB00P';
    exception
        -- However it ends, the block is rolled back, and with it what it set and opened.
        -- Not EB000: to PL/pgSQL a code that ends so is its whole class.
        when sqlstate 'EB00P' then null;
        when sqlstate 'EB060' or sqlstate 'EB063' then raise;
        when others then
            get stacked diagnostics told = message_text;
            raise exception using errcode = 'EB062', message = format('the query cannot run as "%s": %s (SQLSTATE %s)', runner, told, sqlstate),
                hint = 'Mend the query, grant the role what it reads, or set run_as to another role.';
    end;
    return version;
end
$$;
comment on function exportbox.plan_report(integer, text, text, text, text) is 'Refuse a query that cannot run with the rights of its role. Invoker''s rights: who is no member of that role cannot ask.';
grant execute on function exportbox.plan_report(integer, text, text, text, text) to exportbox_operator;

create function exportbox.register_report(
    name text,
    query text,
    params jsonb default '{}',
    run_as text default null,
    description text default null,
    requesters text[] default null,
    formats text[] default null,
    max_rows bigint default null,
    max_bytes bigint default null,
    timeout interval default null,
    recipient_domains text[] default null,
    max_recipients integer default null,
    object_life interval default null,
    kms_key text default null,
    prefix text default null,
    source text default null,
    plan boolean default true,
    split_key text default null
) returns integer
language sql volatile
begin atomic
    -- Stored first: that grants the role what a query needs to read its parameters. All of it is one statement.
    select case when plan then exportbox.plan_report(stored.version, query, run_as, current_setting('search_path'), split_key) else stored.version end
    from (select exportbox.store_report(jsonb_build_object('name', name, 'query', query, 'params', params, 'run_as', run_as,
        'description', description, 'requesters', requesters, 'formats', formats, 'max_rows', max_rows, 'max_bytes', max_bytes,
        'timeout', timeout, 'recipient_domains', recipient_domains, 'max_recipients', max_recipients, 'object_life', object_life,
        'kms_key', kms_key, 'prefix', prefix, 'source', source, 'split_key', split_key)) as version offset 0) as stored;
end;
comment on function exportbox.register_report is 'Add a report or a new version of one, after planning its query with the rights of run_as; the same definition again changes nothing. Returns the version.';
grant execute on function exportbox.register_report to exportbox_operator;

create function exportbox.disable_report(name text) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    latest exportbox.report;
begin
    perform pg_advisory_xact_lock(hashtext('exportbox.report'), hashtext(disable_report.name));
    select r.* into latest from exportbox.report as r where r.name = disable_report.name order by r.version desc limit 1;
    if not found then
        raise exception using errcode = 'EB002', message = format('there is no report "%s"', disable_report.name),
            hint = 'Look it up in exportbox.reports.';
    end if;
    if latest.disabled_at is null then
        update exportbox.report set disabled_at = now() where report.name = latest.name and report.version = latest.version;
        insert into exportbox.event (kind, detail) values ('report_disabled', format('%s version %s', latest.name, latest.version));
    end if;
    return latest.version;
end
$$;
comment on function exportbox.disable_report(text) is 'Take no new requests for a report; those already made go on. Registering it again enables it. Returns the version.';
grant execute on function exportbox.disable_report(text) to exportbox_operator;

create view exportbox.reports with (security_barrier) as -- guard: barrier of reports
select report.name, report.version, report.version = latest.version as is_current, report.disabled_at, report.description, report.params, report.formats,
    report.max_rows, report.max_bytes, report.timeout, report.recipient_domains, report.max_recipients, report.object_life,
    case when sees.all_of_it then report.run_as end as run_as, case when sees.all_of_it then report.requesters end as requesters,
    case when sees.all_of_it then report.source end as source, case when sees.all_of_it then report.prefix end as prefix,
    case when sees.all_of_it then report.kms_key end as kms_key,
    case when pg_has_role(current_user, 'exportbox_operator', 'usage') then report.query end as query, -- guard: query
    report.created_at, case when sees.all_of_it then report.created_by end as created_by,
    case when sees.all_of_it then report.split_key end as split_key
from exportbox.report
cross join (select pg_has_role(current_user, 'exportbox_reader', 'usage') as all_of_it) as sees
cross join lateral (select max(newer.version) as version from exportbox.report as newer where newer.name = report.name) as latest
where sees.all_of_it -- guard: own reports
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
grant select on exportbox.reports to exportbox_requester, exportbox_operator, exportbox_reader;
