-- The catalogue of reports: what an author declares, and how a request's values are read. A value never becomes text of
-- a statement: it is bound, cast to the declared type, and from then on written as that type writes it.

create function exportbox.canonical(value anyelement) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, MDY' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
as $$ begin return value::text; end $$;
comment on function exportbox.canonical(anyelement) is 'A value as its type writes it in an export''s session, so that it is read there as it was meant here.';

create function exportbox.read_values(type text, given jsonb[]) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    texts text[];
    one jsonb;
    canonical text;
begin
    if type like '%[]' or type = 'box' then
        -- Each by itself: lists have no lists of lists, and boxes no commas between them.
        foreach one in array given loop
            canonical := one #>> '{}';
            if jsonb_typeof(one) = 'array' and type like '%[]' then
                -- A list of plain values; one within another stays what it is and is refused by the cast.
                select coalesce(array_agg(element.value), '{}')::text into canonical from jsonb_array_elements_text(one) as element (value);
            end if;
            execute format('select exportbox.canonical($1::%s)', type) into canonical using canonical;
            texts := array_append(texts, canonical);
        end loop;
        return texts;
    end if;
    texts := array(select g.value #>> '{}' from unnest(given) as g (value));
    -- The type is a name that declare_params has looked up in pg_catalog; the values are bound, and read by the settings of whoever gives them.
    execute format('select exportbox.canonical($1::%s[])::text[]', type) into texts using texts;
    return texts;
end
$$;
comment on function exportbox.read_values(text, jsonb[]) is 'Cast JSON values to a type, and write them as that type does.';

create function exportbox.read_value(type text, value jsonb) returns text
language sql stable
return (exportbox.read_values(type, array[value]))[1];
comment on function exportbox.read_value(text, jsonb) is 'Cast one JSON value to a type, and write it as that type does.';

create function exportbox.is_allowed(declaration jsonb, value text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, MDY' set intervalstyle = 'postgres'
as $$
declare
    allowed boolean := true;
    type text := declaration ->> 'type';
begin
    -- By the type's own order and equality: 1.0 is 1, and "today" is the day of the request.
    if declaration ? 'values' then
        execute format('select exists (select from jsonb_array_elements_text($1) as allowed (v) where allowed.v::%1$s = $2::%1$s)', type)
            into allowed using declaration -> 'values', value;
    end if;
    if allowed and declaration ? 'min' then
        execute format('select $2::%1$s >= $1::%1$s', type) into allowed using declaration ->> 'min', value;
    end if;
    if allowed and declaration ? 'max' then
        execute format('select $2::%1$s <= $1::%1$s', type) into allowed using declaration ->> 'max', value;
    end if;
    return allowed;
end
$$;
comment on function exportbox.is_allowed(jsonb, text) is 'Whether a value is one of the declared values and within the declared range.';

create function exportbox.assert_declared(report text, declared jsonb, given jsonb[]) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    undeclared text;
begin
    select k.name into undeclared
    from unnest(given) as g (params), jsonb_object_keys(g.params) as k (name) where not declared ? k.name limit 1;
    if found then
        raise exception using errcode = 'EB006', message = format('report "%s" has no parameter "%s"', report, left(undeclared, 100)),
            hint = case when declared = '{}' then 'It takes no parameters.'
                else 'It takes: ' || (select string_agg(k.name, ', ') from jsonb_object_keys(declared) as k (name)) || '.' end;
    end if;
end
$$;
comment on function exportbox.assert_declared(text, jsonb, jsonb[]) is 'Refuse parameters that a report does not have: before anything else that is wrong with them.';

create function exportbox.read_all_params(report text, declared jsonb, given jsonb[]) returns jsonb[]
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    is_one constant boolean := cardinality(given) = 1; -- read in expressions, without a statement for it
    rest jsonb := given[1];
    names text[] := '{}';
    name text;
    declaration jsonb;
    type text;
    raw jsonb[];
    texts text[];
    canonical text[];
    value text;
    inputs jsonb[] := array_fill('{}'::jsonb, array[cardinality(given)]);
begin
    for name, declaration in select d.key, d.value from jsonb_each(declared) as d loop
        if is_one then
            rest := rest - name;
            raw := array[coalesce(nullif(given[1] -> name, 'null'), nullif(declaration -> 'default', 'null'))];
            texts := array[raw[1] #>> '{}'];
        else
            names := array_append(names, name);
            raw := array(select coalesce(nullif(g.params -> name, 'null'), nullif(declaration -> 'default', 'null')) from unnest(given) as g (params));
            texts := array(select r.value #>> '{}' from unnest(raw) as r (value));
        end if;
        if (declaration ->> 'required')::boolean and array_position(raw, null) is not null then
            perform exportbox.assert_declared(report, declared, given);
            raise exception using errcode = 'EB007', message = format('report "%s" needs parameter "%s"', report, name),
                hint = format('Add "%s" to params, a value of type %s.', name, declaration ->> 'type');
        end if;
        begin
            type := declaration ->> 'type';
            -- The usual types without a statement of their own, where this session's settings write them as any session's would.
            if type = 'text' then canonical := texts;
            elsif type = 'integer' then canonical := texts::integer[]::text[];
            elsif type = 'bigint' then canonical := texts::bigint[]::text[];
            elsif type = 'numeric' then canonical := texts::numeric[]::text[];
            elsif type = 'boolean' then canonical := texts::boolean[]::text[];
            elsif type = 'uuid' then canonical := texts::uuid[]::text[];
            elsif type = 'date' and current_setting('datestyle') like 'ISO,%' then canonical := texts::date[]::text[];
            else canonical := exportbox.read_values(type, raw);
            end if;
        -- Some types (jsonpath, tsquery, regclass) complain in the words of a wrong statement.
        exception when data_exception or syntax_error_or_access_rule_violation or feature_not_supported or program_limit_exceeded then
            perform exportbox.assert_declared(report, declared, given);
            raise exception using errcode = 'EB008', message = format('parameter "%s" of report "%s" is not a valid %s', name, report, declaration ->> 'type'),
                hint = format('Give "%s" as text that PostgreSQL can cast to %s.', name, declaration ->> 'type');
        end;
        if declaration ?| '{values,min,max}' then
            foreach value in array canonical loop
                if value is not null and not exportbox.is_allowed(declaration, value) then
                    perform exportbox.assert_declared(report, declared, given);
                    raise exception using errcode = 'EB009', message = format('parameter "%s" of report "%s" has a value that is not allowed', name, report),
                        hint = case when declaration ? 'values'
                            then 'Allowed: ' || (select string_agg(v.value, ', ') from jsonb_array_elements_text(declaration -> 'values') as v (value)) || '.'
                            else concat_ws(' and ', 'Give at least ' || (declaration ->> 'min'), case when declaration ? 'min' then 'at' else 'Give at' end
                                || ' most ' || (declaration ->> 'max')) || '.' end;
                end if;
            end loop;
        end if;
        if is_one then
            inputs := array[case when canonical[1] is null then inputs[1] else inputs[1] || jsonb_build_object(name, canonical[1]) end];
        else
            inputs := array(select case when u.value is null then u.known else u.known || jsonb_build_object(name, u.value) end
                from unnest(inputs, canonical) as u (known, value));
        end if;
    end loop;
    if not is_one then
        rest := (select g.params - names from unnest(given) as g (params) where g.params - names <> '{}' limit 1);
    end if;
    if rest <> '{}' then
        perform exportbox.assert_declared(report, declared, given);
    end if;
    return inputs;
end
$$;
comment on function exportbox.read_all_params(text, jsonb, jsonb[]) is 'The values that each request of a report runs with: refuses undeclared, missing, uncastable and disallowed ones in the requester''s own INSERT.';

create function exportbox.read_params(report text, declared jsonb, given jsonb) returns jsonb
language sql stable
return (exportbox.read_all_params(report, declared, array[given]))[1];
comment on function exportbox.read_params(text, jsonb, jsonb) is 'The values that one request of a report runs with.';

create function exportbox.declare_params(params jsonb) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    declared jsonb := '{}';
    declaration jsonb;
    param text;
    type_name text;
    usable boolean;
    property text;
    value jsonb;
    example text;
begin
    if coalesce(jsonb_typeof(params), 'null') <> 'object' then
        raise exception using errcode = 'EB060', message = 'params must be a JSON object',
            hint = 'For example {"month": {"type": "date", "required": true}} or {"month": "date"}.';
    end if;
    for param, declaration in select p.key, p.value from jsonb_each(params) as p loop
        if jsonb_typeof(declaration) = 'string' then
            declaration := jsonb_build_object('type', declaration);
        end if;
        type_name := case jsonb_typeof(declaration) when 'object' then declaration ->> 'type' end;
        if param !~ '^[a-z_][a-z0-9_]{0,40}$' then
            raise exception using errcode = 'EB060', message = format('parameter name "%s" is not usable', param),
                hint = 'Use up to 41 lower-case letters, digits and underscores.';
        end if;
        begin
            -- Not those that cut a value to their size without a word, nor a length of one's own, which would be lost.
            usable := type_name !~ '\(' and exists (
                select from pg_type left join pg_type as element on element.oid = pg_type.typelem and pg_type.typcategory = 'A'
                where pg_type.oid = to_regtype(type_name) and pg_type.typnamespace = 'pg_catalog'::regnamespace
                    and pg_type.typtype in ('b', 'r', 'm') and coalesce(element.typname, pg_type.typname) not in ('bpchar', 'bit', 'char', 'name'));
        exception when syntax_error_or_access_rule_violation or feature_not_supported then
            -- Before PostgreSQL 16 to_regtype fails for what cannot be a name.
            usable := false;
        end;
        if not coalesce(usable, false) then
            raise exception using errcode = 'EB060', message = format('parameter "%s" has no usable type', param),
                hint = 'Use a built-in type without a length, such as date, integer, numeric, text or uuid[].';
        end if;
        type_name := to_regtype(type_name)::text;
        for property, value in select d.key, d.value from jsonb_each(declaration) as d loop
            if property not in ('type', 'required', 'default', 'values', 'min', 'max', 'description')
                or (property = 'required' and jsonb_typeof(value) <> 'boolean')
                or (property = 'description' and jsonb_typeof(value) <> 'string')
                or (property in ('default', 'min', 'max') and jsonb_typeof(value) in ('object', 'null'))
                or (property in ('min', 'max') and jsonb_typeof(value) = 'array')
                or (property = 'values' and not coalesce(jsonb_typeof(value) = 'array' and jsonb_array_length(value) > 0
                    and not jsonb_path_exists(value, '$[*] ? (@.type() == "null" || @.type() == "object" || @.type() == "array")', '{}', true), false))
            then
                raise exception using errcode = 'EB060', message = format('parameter "%s" has an unknown property or a wrong one: "%s"', param, property),
                    hint = 'Use "type", "required" (true or false), "default", "values" (a list), "min", "max" and "description".';
            end if;
        end loop;
        declaration := jsonb_build_object('required', false) || declaration || jsonb_build_object('type', type_name);
        if (declaration ->> 'required')::boolean and declaration ? 'default' or declaration ? 'values' and declaration ?| '{min,max}' then
            raise exception using errcode = 'EB060', message = format('parameter "%s" contradicts itself', param),
                hint = 'A required parameter has no default; give either a list of values or a range.';
        end if;
        begin
            for value in select declaration -> 'default' union all select declaration -> 'min' union all select declaration -> 'max'
                union all select jsonb_array_elements(declaration -> 'values') loop
                if value is not null then
                    example := exportbox.read_value(type_name, value);
                    usable := exportbox.is_allowed(declaration, example);
                    if not usable then
                        raise exception using errcode = 'EB060', message = format('parameter "%s" does not allow its own %s', param, value),
                            hint = 'Bring default, min and max in line.';
                    end if;
                end if;
            end loop;
        exception when data_exception or syntax_error_or_access_rule_violation or feature_not_supported then
            raise exception using errcode = 'EB060', message = format('parameter "%s": %s is no value of type %s, or the type cannot be compared',
                param, value, type_name), hint = 'Write default, values, min and max as PostgreSQL reads that type.';
        end;
        declared := declared || jsonb_build_object(param, declaration);
    end loop;
    return declared;
end
$$;
comment on function exportbox.declare_params(jsonb) is 'Check the declarations of a report''s parameters, and write them in their long form.';

create function exportbox.may_run(role text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
    -- What the daemon, operators and readers have of exportbox, and what the server keeps for itself, no author of a report lends himself. His own
    -- rights he has.
    select role !~ '^(pg_|exportbox_)' and (role = exportbox.acting_role() or not exists (
        select from pg_roles as reserved
        where pg_has_role(role, reserved.oid, 'member') and (
            reserved.rolname in ('exportbox_worker', 'exportbox_operator', 'exportbox_reader')
            or reserved.oid = (select relowner from pg_class where pg_class.oid = 'exportbox.report'::regclass))))
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
    if not exportbox.may_run(report.run_as) then
        raise exception using errcode = 'EB060', message = format('no report runs as "%s"', report.run_as),
            hint = 'Set run_as to a role that can read what the query needs and no more.';
    end if;
    foreach word in array coalesce(report.formats, '{}') loop
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
            perform set_config('role', runner, true);
        exception when insufficient_privilege or undefined_object or invalid_parameter_value then
            raise exception using errcode = 'EB063',
                message = format('role "%s" may not become "%s", so the query cannot be planned with its rights', session_user, runner),
                hint = format('Have an administrator run: grant %I to %I; or use exportbox report add, which plans where the daemon runs it; or pass plan => false.',
                    runner, session_user);
        end;
        perform set_config('search_path', path, true), set_config('transaction_read_only', 'on', true);
        -- Opening checks that this is one statement, that all names exist and that the role may read them. Nothing is fetched.
        open planned no scroll for execute query;
        close planned;
        -- And that it is a SELECT throughout: nothing that writes can stand in parentheses.
        open planned no scroll for execute format(E'select from (\n%s\n) as planned', bare);
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

revoke all on all functions in schema exportbox from public;
grant execute on function exportbox.may_request(text[], text) to exportbox_reader, exportbox_operator, exportbox_requester;
grant execute on function exportbox.register_report, exportbox.store_report(jsonb), exportbox.plan_report(integer, text, text, text, text),
    exportbox.disable_report(text), exportbox.acting_role() to exportbox_operator;
-- For trying a report before it is registered.
grant execute on function exportbox.declare_params(jsonb), exportbox.read_params(text, jsonb, jsonb), exportbox.read_all_params(text, jsonb, jsonb[]),
    exportbox.assert_declared(text, jsonb, jsonb[]), exportbox.read_value(text, jsonb), exportbox.read_values(text, jsonb[]), exportbox.canonical(anyelement), exportbox.is_allowed(jsonb, text) to exportbox_operator;
