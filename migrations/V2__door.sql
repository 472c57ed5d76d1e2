-- The door: what happens in the application's own INSERT. A wrong request fails it with an SQLSTATE of class EB and a sentence that
-- says what to change; a right one leaves a pending job in the same transaction.

create function exportbox.param(name text) returns text
language sql stable parallel safe
-- A session that once had a setting reads it as '' afterwards, and a pooler gives such sessions to everybody: '' is a value only where it was given.
return coalesce(nullif(current_setting('exportbox.param_' || name, true), ''),
    case when name = any (string_to_array(current_setting('exportbox.empty_params', true), ',')) then '' end);
comment on function exportbox.param(text) is 'Read a parameter in a report: exportbox.param(''month'')::date. Null when the request gave none.';

create function exportbox.wake(due timestamptz) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    -- A transaction with an older snapshot cannot see who has fallen asleep since: it wakes everybody.
    sees_all constant boolean := current_setting('transaction_isolation') = 'read committed';
begin
    -- Only somebody who sleeps past that instant is woken, and only one: NOTIFY takes a lock at commit, which the application pays.
    -- A sleeper whose listening backend is gone is passed over.
    perform pg_notify(sleeper.channel, '')
    from (
        select worker.channel
        from exportbox.worker
        where (worker.waiting_until > greatest(due, clock_timestamp()) or not sees_all)
            and worker.listener_pid is not null
            and exists (select from pg_stat_get_activity(worker.listener_pid))
        order by worker.waiting_since desc nulls last
        limit case when sees_all then 1 end
    ) as sleeper;
end
$$;
comment on function exportbox.wake(timestamptz) is 'Wake one idle worker that would otherwise sleep past this instant. A hint: polling is the truth.';

create function exportbox.is_copy_byte(value jsonb) returns boolean
language sql immutable parallel safe
return jsonb_typeof(value) = 'string' and octet_length(value #>> '{}') = 1 and value #>> '{}' not in (E'\n', E'\r');
comment on function exportbox.is_copy_byte(jsonb) is 'One single-byte character that COPY takes as delimiter, quote or escape.';

create function exportbox.is_copy_encoding(encoding text) returns boolean
language sql stable parallel safe
-- SQL_ASCII, encoding 0, means "as it is"; some encodings have a name but no conversion from this database's.
return pg_char_to_encoding(encoding) in (0, pg_char_to_encoding(getdatabaseencoding())) or exists (
        select from pg_catalog.pg_conversion
        where condefault and conforencoding = pg_char_to_encoding(getdatabaseencoding()) and contoencoding = pg_char_to_encoding(encoding));
comment on function exportbox.is_copy_encoding(text) is 'An encoding that COPY in this database can write.';

create function exportbox.check_format(format text, compression text, options jsonb) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    allowed text[];
    name text;
    value jsonb;
    delimiter text;
    quote text;
    null_text text;
begin
    if format not in ('csv', 'text', 'jsonl') then
        raise exception using errcode = 'EB020', message = format('unknown format "%s"', format),
            hint = 'Set format to csv, text or jsonl.';
    end if;
    if compression not in ('none', 'gzip') then
        raise exception using errcode = 'EB021', message = format('unknown compression "%s"', compression),
            hint = 'Set compression to none or gzip.';
    end if;
    if jsonb_typeof(options) <> 'object' then
        raise exception using errcode = 'EB022', message = 'format_options must be a JSON object',
            hint = 'For example {"delimiter": ";", "header": false}.';
    end if;
    if options = '{}' then
        return true;
    end if;
    allowed := case format
        -- "null" in quotes: without them it is no word, and a list with an unknown element refuses nothing.
        when 'csv' then '{header,delimiter,"null",quote,escape,force_quote,encoding,formula_guard}'
        when 'text' then '{delimiter,"null",encoding}'
        else '{}' end;
    for name, value in select o.key, o.value from jsonb_each(options) as o loop
        if name <> all (allowed) then
            raise exception using errcode = 'EB022', message = format('format_options "%s" is not an option of format %s', name, format),
                hint = case when allowed = '{}' then format('Format %s takes no options.', format)
                    else 'Allowed: ' || array_to_string(allowed, ', ') || '.' end;
        end if;
        if (name in ('header', 'formula_guard') and jsonb_typeof(value) <> 'boolean')
            or (name in ('delimiter', 'quote', 'escape') and not exportbox.is_copy_byte(value))
            or (name = 'null' and (jsonb_typeof(value) <> 'string' or value #>> '{}' ~ E'[\n\r]'))
            or (name = 'encoding' and (jsonb_typeof(value) <> 'string' or not exportbox.is_copy_encoding(value #>> '{}')))
            or (name = 'force_quote' and value <> '"*"' and not coalesce(
                jsonb_typeof(value) = 'array' and jsonb_array_length(value) > 0
                and not jsonb_path_exists(value, '$[*] ? (@.type() != "string" || @ == "")')
                and (select count(distinct e) = count(*) from jsonb_array_elements(value) as e), false))
        then
            raise exception using errcode = 'EB022', message = format('format_options "%s" cannot be %s', name, value),
                hint = case
                    when name in ('header', 'formula_guard') then format('Set "%s" to true or false.', name)
                    when name in ('delimiter', 'quote', 'escape') then format('Set "%s" to one single-byte character, no line break.', name)
                    when name = 'null' then 'Set "null" to a string without line breaks.'
                    when name = 'encoding' then 'Set "encoding" to one that this database converts to, such as UTF8 or LATIN1.'
                    else 'Set "force_quote" to "*" or to a list of column names, each once.' end;
        end if;
    end loop;
    delimiter := coalesce(options ->> 'delimiter', case format when 'csv' then ',' else E'\t' end);
    quote := coalesce(options ->> 'quote', '"');
    null_text := coalesce(options ->> 'null', case format when 'csv' then '' else '\N' end);
    if format = 'text' and delimiter ~ '[\\.a-z0-9]' then
        raise exception using errcode = 'EB022', message = format('format_options "delimiter" cannot be "%s" in format text', delimiter),
            hint = 'Use a character other than backslash, full stop, lower-case letters and digits.';
    end if;
    if format = 'csv' and delimiter = quote then
        raise exception using errcode = 'EB022', message = 'format_options "delimiter" and "quote" are the same character',
            hint = 'Set one of them to another character.';
    end if;
    if strpos(null_text, delimiter) > 0 or (format = 'csv' and strpos(null_text, quote) > 0) then
        raise exception using errcode = 'EB022', message = 'format_options "null" contains the delimiter or the quote character',
            hint = 'Set "null" to a string without them.';
    end if;
    return true;
end
$$;
comment on function exportbox.check_format(text, text, jsonb) is 'Refuse what COPY TO would refuse, while the application can still see it.';

create function exportbox.is_address(address text) returns boolean
language sql immutable parallel safe
-- SES takes ASCII local parts and domains in Punycode; display names belong to the mail, not to the address. A part of the domain has 63
-- characters at most: looked at apart, as a counted repetition would make the pattern fifteen times as slow.
return length(address) <= 254 and position('@' in address) <= 65
    and address ~ '^[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+)*@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?$'
    and (length(address) <= 63 or split_part(address, '@', 2) !~ '[^.]{64}');
comment on function exportbox.is_address(text) is 'One plain address that mail servers take.';

create function exportbox.are_addresses(list text[]) returns boolean
language sql immutable parallel safe
return not exists (select from unnest(list) as r (address) where not exportbox.is_address(r.address));
comment on function exportbox.are_addresses(text[]) is 'A list of nothing but addresses.';

create function exportbox.are_plain_values(params jsonb) returns boolean
language sql immutable parallel safe
return not exists (select from jsonb_each(params) as p
    where p.key !~ '^[a-z_][a-z0-9_]{0,40}$' or jsonb_typeof(p.value) in ('object', 'array'));
comment on function exportbox.are_plain_values(jsonb) is 'What an ad-hoc query takes: names of parameters, and values without a structure of their own.';

-- One expression, which the planner writes into the statement that asks: a thousand requests are checked without a call for each. Hence words
-- in place of sentences, and no counted repetitions: a length is asked for by itself. Control characters by number: what a class names depends
-- on the database's locale.
create function exportbox.fault(request exportbox.outbox) returns text
language sql volatile
return case
    when num_nonnulls(request.report, request.query) <> 1 then 'report'
    when jsonb_typeof(request.params) <> 'object' then 'params'
    when request.report is null and not pg_has_role(request.requested_by, 'exportbox_adhoc', 'member') then 'adhoc'
    when request.query !~ '\S' then 'query'
    when request.report is null and not exportbox.are_plain_values(request.params) then 'values'
    when array_ndims(request.recipients) > 1 or array_position(request.recipients, null) is not null then 'recipients'
    when cardinality(request.recipients) > 50 then 'recipients_many'
    -- None, or a single right one, as most requests have: without a call.
    when not coalesce(case cardinality(request.recipients) when 0 then true when 1 then exportbox.is_address(request.recipients[1]) end, false)
        and not exportbox.are_addresses(request.recipients) then 'address'
    when (request.format <> 'csv' or request.compression <> 'none' or request.format_options <> '{}')
        and not exportbox.check_format(request.format, request.compression, request.format_options) then 'format'
    when request.filename is not null and (length(request.filename) not between 1 and 180 or request.filename ~ '[/\\\x01-\x1f\x7f-\x9f]'
        or request.filename ~ '^(\.+|\s*)$') then 'filename'
    when length(request.idempotency_key) not between 1 and 200 then 'idempotency_key'
    when not isfinite(request.run_at) or not isfinite(request.not_after) then 'instants'
    when request.not_after <= clock_timestamp() then 'not_after_past'
    when request.not_after <= request.run_at then 'not_after_early'
    when request.priority not between 0 and 9 then 'priority'
    when request.timeout not between interval '1 second' and interval '7 days' then 'timeout'
    when request.max_attempts not between 1 and 100 then 'max_attempts'
    when request.link_ttl not between interval '1 minute' and interval '7 days' then 'link_ttl'
    when length(request.subject) not between 1 and 200 or request.subject ~ '[\x01-\x1f\x7f-\x9f]' or request.subject ~ '^\s*$' then 'subject'
    when length(request.message) > 4000 or request.message ~ E'[\\x01-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]' then 'message'
    when jsonb_typeof(request.metadata) <> 'object' then 'metadata'
end;
comment on function exportbox.fault(exportbox.outbox) is 'Every rule of a request by itself, in the order of the columns: the first one broken, or null.';

create function exportbox.refuse(request exportbox.outbox, fault text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    code text;
    message text;
    hint text;
begin
    select told.code, told.message, told.hint into strict code, message, hint
    from (values
        ('report', 'EB001', case when request.report is null then 'the request names neither a report nor a query' else 'the request names both a report and a query' end,
            'Set exactly one of report and query.'),
        ('params', 'EB005', 'params must be a JSON object', 'For example {"month": "2026-01-01"}.'),
        ('adhoc', 'EB003', format('role "%s" may not request ad-hoc queries', request.requested_by),
            format('Request a report, or have an administrator run: grant exportbox_adhoc to %I;', request.requested_by)),
        ('query', 'EB004', 'the query is empty', 'Set query to one SELECT statement.'),
        ('values', 'EB005', 'a parameter of an ad-hoc query has a wrong name or is not a plain value',
            'Use names of lower-case letters, digits and underscores, and strings, numbers, booleans or nulls as values.'),
        ('recipients', 'EB011', 'recipients must be a plain list of addresses without nulls', 'For example array[''ann@example.com'', ''bob@example.com''].'),
        ('recipients_many', 'EB010', format('%s recipients are too many', cardinality(request.recipients)),
            'Name at most 50 recipients, or use a distribution list.'),
        ('address', 'EB011', (select format('"%s" is not an e-mail address', left(r.address, 100)) from unnest(request.recipients) as r (address)
            where not exportbox.is_address(r.address) limit 1), 'Use plain addresses such as ann@example.com; write international domains in their xn-- form.'),
        ('filename', 'EB023', 'filename is not a usable file name', 'Use 1 to 180 characters without slashes, backslashes and control characters.'),
        ('idempotency_key', 'EB040', 'idempotency_key must have 1 to 200 characters', 'Use a short key such as ''invoice-4711'', or leave it out.'),
        ('instants', 'EB030', 'run_at and not_after must be instants, not infinity', 'Leave not_after out when the request never expires.'),
        ('not_after_past', 'EB030', 'not_after is in the past', 'Set not_after to a later instant, or leave it out.'),
        ('not_after_early', 'EB030', 'not_after is not later than run_at', 'Set not_after after run_at, or leave it out.'),
        ('priority', 'EB031', format('priority %s is out of range', request.priority), 'Use 0 (first) to 9 (last); the default is 5.'),
        ('timeout', 'EB032', format('timeout %s is out of range', request.timeout), 'Use 1 second to 7 days.'),
        ('max_attempts', 'EB033', format('max_attempts %s is out of range', request.max_attempts), 'Use 1 to 100.'),
        ('link_ttl', 'EB034', format('link_ttl %s is out of range', request.link_ttl), 'Use 1 minute to 7 days; no signed link lives longer.'),
        ('subject', 'EB035', 'subject is not usable in a mail', 'Use 1 to 200 characters without line breaks and control characters.'),
        ('message', 'EB035', 'message is not usable in a mail', 'Use up to 4000 characters of plain text.'),
        ('metadata', 'EB036', 'metadata must be a JSON object', 'For example {"invoice": 4711}.')
    ) as told (fault, code, message, hint)
    where told.fault = refuse.fault;
    raise exception using errcode = code, message = message, hint = hint;
end
$$;
comment on function exportbox.refuse(exportbox.outbox, text) is 'Say what is wrong with a request, and fail its INSERT.';

-- A body without quotes is bound to these very operators now; one in quotes would be read by the search path of whoever asks.
create function exportbox.may_request(requesters text[], who text) returns boolean
language sql stable
return requesters is null
    or exists (select from pg_roles where rolname = any (requesters) and pg_has_role(who, pg_roles.oid, 'member'));
comment on function exportbox.may_request(text[], text) is 'Whether a role is one of a report''s requesters, or a member of one.';

create function exportbox.check_requester(who text, catalogued exportbox.report) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if not exportbox.may_request(catalogued.requesters, who) then
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
    if cardinality(request.recipients) > catalogued.max_recipients then
        raise exception using errcode = 'EB010',
            message = format('%s recipients are too many for report "%s"', cardinality(request.recipients), request.report),
            hint = case catalogued.max_recipients when 0 then 'It is not mailed: leave recipients empty and read the file from the bucket.'
                else format('Name at most %s.', catalogued.max_recipients) end;
    end if;
    foreach address in array request.recipients loop
        domain := lower(split_part(address, '@', 2));
        if not exists (select from unnest(catalogued.recipient_domains) as allowed (name)
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

create function exportbox.check_request(request exportbox.outbox) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    fault constant text := exportbox.fault(request);
    catalogued exportbox.report;
begin
    if fault is not null then
        perform exportbox.refuse(request, fault);
    end if;
    if request.report is not null then
        select report.* into catalogued from exportbox.report where report.name = request.report order by report.version desc limit 1;
        perform exportbox.assert_requestable(catalogued, request.report, request.requested_by);
        perform exportbox.check_limits(request, catalogued), exportbox.read_params(request.report, catalogued.params, request.params);
    end if;
end
$$;
comment on function exportbox.check_request(exportbox.outbox) is 'Refuse what the door would refuse.';

create function exportbox.outbox_fill() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    -- Object mappers insert explicit nulls for what their user left out.
    new.id := coalesce(new.id, exportbox.new_id());
    new.params := coalesce(new.params, '{}');
    new.recipients := coalesce(new.recipients, '{}');
    new.format := coalesce(new.format, 'csv');
    new.compression := coalesce(new.compression, 'none');
    new.format_options := coalesce(new.format_options, '{}');
    new.run_at := coalesce(new.run_at, now());
    new.priority := coalesce(new.priority, 5);
    new.metadata := coalesce(new.metadata, '{}');
    -- Invoker's rights on purpose: this is who inserts.
    new.requested_by := current_user;
    if current_setting('exportbox.requested_by', true) <> '' then
        -- The setting alone opens nothing: exportbox.request_scheduled acts with the rights of the table's owner.
        if pg_has_role(current_user, (select relowner from pg_class where oid = tg_relid), 'usage') then
            new.requested_by := current_setting('exportbox.requested_by');
        end if;
    end if;
    new.requested_at := now();
    return new;
end
$$;
comment on function exportbox.outbox_fill() is 'Stamps who and when, and fills defaults. No checks here: a row that ON CONFLICT skips must not be refused.';
-- Only where it would change something: the columns' defaults have mostly done it.
create trigger outbox_fill before insert on exportbox.outbox
    for each row when (new.requested_by is distinct from current_user or new.requested_at is distinct from now()
        or current_setting('exportbox.requested_by', true) <> ''
        or num_nulls(new.id, new.params, new.recipients, new.format, new.compression, new.format_options, new.run_at, new.priority, new.metadata) > 0)
    execute function exportbox.outbox_fill();

create function exportbox.outbox_accept() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    most constant integer := 20000;
    taken integer := 0;
    rows integer;
    fault text;
    due timestamptz;
    earliest timestamptz;
    are_alike boolean;
    requests exportbox.outbox[];
    request exportbox.outbox;
    others exportbox.outbox[];
    given jsonb[];
    catalogued exportbox.report;
    inputs jsonb[];
begin
    -- All requests at once, or as many as fit well into memory.
    loop
        select min(exportbox.fault(row(r.*)::exportbox.outbox)), min(r.run_at), array_agg(row(r.*)::exportbox.outbox),
            array_agg(r.params), count(*), count(r.report) in (0, count(*)) and coalesce(min(r.report) = max(r.report), true)
                and min(r.requested_by) = max(r.requested_by)
        into fault, due, requests, given, rows, are_alike
        from (select new_requests.* from new_requests limit most offset taken) as r;
        if fault is not null then
            foreach request in array requests loop
                fault := exportbox.fault(request);
                exit when fault is not null;
            end loop;
            perform exportbox.refuse(request, fault);
        end if;
        -- What a statement asks for is mostly one report in one role's name: looked up once, and all its values read at once.
        while requests is not null loop
            request := requests[1];
            others := null;
            if not are_alike then
                select array_agg(r) filter (where r.report is not distinct from request.report and r.requested_by = request.requested_by),
                    array_agg(r) filter (where r.report is distinct from request.report or r.requested_by <> request.requested_by)
                into requests, others
                from unnest(requests) as r;
                given := array(select r.params from unnest(requests) as r);
            end if;
            catalogued := null;
            inputs := null;
            if request.report is not null then
                select report.* into catalogued from exportbox.report where report.name = request.report order by report.version desc limit 1;
                if catalogued.name is null or num_nonnulls(catalogued.disabled_at, catalogued.requesters) > 0 then
                    perform exportbox.assert_requestable(catalogued, request.report, request.requested_by);
                end if;
                if num_nonnulls(catalogued.formats, catalogued.max_recipients, catalogued.recipient_domains) > 0 then
                    foreach request in array requests loop
                        perform exportbox.check_limits(request, catalogued);
                    end loop;
                end if;
                inputs := exportbox.read_all_params(request.report, catalogued.params, given);
            end if;
            insert into exportbox.job (export_id, kind, run_at, not_after, priority, timeout, max_attempts, report, report_version, source, params)
            select r.id, 'export', r.run_at, r.not_after, r.priority, least(r.timeout, catalogued.timeout), r.max_attempts,
                r.report, catalogued.version, nullif(catalogued.source, 'default'), r.unnest
            from rows from (unnest(requests), unnest(inputs)) as r;
            requests := others;
        end loop;
        earliest := least(earliest, due);
        taken := taken + rows;
        exit when rows < most;
    end loop;
    -- A look first: when nobody sleeps, that is all there is to pay.
    if earliest is not null and exists (select from exportbox.worker where worker.waiting_until > earliest or current_setting('transaction_isolation') <> 'read committed') then
        perform exportbox.wake(earliest);
    end if;
    return null;
end
$$;
comment on function exportbox.outbox_accept() is 'Checks the requests of one statement, makes their jobs, and wakes a sleeper once.';
create trigger outbox_accept after insert on exportbox.outbox
    referencing new table as new_requests
    for each statement execute function exportbox.outbox_accept();

create function exportbox.outbox_is_history() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    may_hold_an_address constant text[] := '{query,params,recipients,format_options,filename,idempotency_key,subject,message,metadata}';
begin
    -- The setting alone opens nothing: exportbox.erase acts with the rights of the table's owner.
    if current_setting('exportbox.erasing', true) = 'on'
        and pg_has_role(current_user, (select relowner from pg_class where oid = tg_relid), 'usage') then
        if tg_level = 'STATEMENT' then
            return null;
        elsif to_jsonb(new) - may_hold_an_address = to_jsonb(old) - may_hold_an_address
            and cardinality(new.recipients) <= cardinality(old.recipients) then
            return new;
        end if;
    end if;
    raise exception using errcode = 'EB050', message = 'a request never changes once it is made',
        hint = 'Cancel it with exportbox.cancel(id) and insert a new one.';
end
$$;
comment on function exportbox.outbox_is_history() is 'Rows of the outbox are facts about the request. Only an address can be taken out of one, by exportbox.erase.';
create trigger outbox_is_history before update on exportbox.outbox
    for each statement execute function exportbox.outbox_is_history();
create trigger outbox_keeps_its_facts before update on exportbox.outbox
    for each row execute function exportbox.outbox_is_history();

create function exportbox.request_export(
    report text default null,
    query text default null,
    params jsonb default null,
    recipients text[] default null,
    format text default null,
    compression text default null,
    format_options jsonb default null,
    filename text default null,
    idempotency_key text default null,
    run_at timestamptz default null,
    not_after timestamptz default null,
    priority integer default null,
    timeout interval default null,
    max_attempts integer default null,
    link_ttl interval default null,
    subject text default null,
    message text default null,
    metadata jsonb default null
) returns uuid
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    export_id uuid;
begin
    insert into exportbox.outbox (report, query, params, recipients, format, compression, format_options, filename,
        idempotency_key, run_at, not_after, priority, timeout, max_attempts, link_ttl, subject, message, metadata)
    values (request_export.report, request_export.query, request_export.params, request_export.recipients, request_export.format,
        request_export.compression, request_export.format_options, request_export.filename, request_export.idempotency_key,
        request_export.run_at, request_export.not_after,
        -- Kept within the column's type, so that what is out of range is refused in our own words.
        case when request_export.priority is not null then greatest(-1, least(request_export.priority, 32767))::smallint end, request_export.timeout,
        case when request_export.max_attempts is not null then greatest(-1, least(request_export.max_attempts, 32767))::smallint end, request_export.link_ttl, request_export.subject, request_export.message,
        request_export.metadata)
    on conflict (requested_by, idempotency_key) do nothing
    returning id into export_id;
    if export_id is null then
        select outbox.id into strict export_id from exportbox.outbox
        where outbox.requested_by = current_user and outbox.idempotency_key = request_export.idempotency_key;
    end if;
    return export_id;
end
$$;
comment on function exportbox.request_export is 'The same as an INSERT, for those who prefer a call. A repeated idempotency_key returns the first id.';
