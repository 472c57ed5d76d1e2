-- Parameters of reports: what an author declares, and how a request's values are read. A value never becomes text of a statement: it is bound,
-- cast to the declared type, and from then on written as that type writes it.

create function exportbox.param(name text) returns text
language sql stable parallel safe
-- A session that once had a setting reads it as '' afterwards, and a pooler gives such sessions to everybody: '' is a value only where it was given.
return coalesce(nullif(current_setting('exportbox.param_' || name, true), ''), -- guard: empty is unset
    case when name = any (string_to_array(current_setting('exportbox.empty_params', true), ',')) then '' end);
comment on function exportbox.param(text) is 'Read a parameter in a report: exportbox.param(''month'')::date. Null when the request gave none.';
grant execute on function exportbox.param(text) to exportbox_requester, exportbox_worker, exportbox_operator;

create function exportbox.canonical(value anyelement) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, MDY' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
as $$ begin return value::text; end $$;
comment on function exportbox.canonical(anyelement) is 'A value as its type writes it in an export''s session, so that it is read there as it was meant here.';
-- For trying a report before it is registered.
grant execute on function exportbox.canonical(anyelement) to exportbox_operator;

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
    execute format('select exportbox.canonical($1::%s[])::text[]', type) into texts using texts; -- guard: type
    return texts;
end
$$;
comment on function exportbox.read_values(text, jsonb[]) is 'Cast JSON values to a type, and write them as that type does.';
-- For trying a report before it is registered.
grant execute on function exportbox.read_values(text, jsonb[]) to exportbox_operator;

create function exportbox.read_value(type text, value jsonb) returns text
language sql stable
return (exportbox.read_values(type, array[value]))[1];
comment on function exportbox.read_value(text, jsonb) is 'Cast one JSON value to a type, and write it as that type does.';
-- For trying a report before it is registered.
grant execute on function exportbox.read_value(text, jsonb) to exportbox_operator;

create function exportbox.is_allowed(declaration jsonb, value text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, MDY' set intervalstyle = 'postgres'
as $$
declare
    allowed boolean := true;
    type text := declaration ->> 'type';
begin
    -- By the type's own order and equality: 1.0 is 1, and "today" is the day of the request.
    if declaration ? 'values' then -- guard: allowed values
        -- guard: compared as their type
        execute format('select exists (select from jsonb_array_elements_text($1) as allowed (v) where allowed.v::%1$s = $2::%1$s)', type)
            into allowed using declaration -> 'values', value;
    end if;
    if allowed and declaration ? 'min' then -- guard: least value
        execute format('select $2::%1$s >= $1::%1$s', type) into allowed using declaration ->> 'min', value;
    end if;
    if allowed and declaration ? 'max' then -- guard: greatest value
        execute format('select $2::%1$s <= $1::%1$s', type) into allowed using declaration ->> 'max', value;
    end if;
    return allowed;
end
$$;
comment on function exportbox.is_allowed(jsonb, text) is 'Whether a value is one of the declared values and within the declared range.';
-- For trying a report before it is registered.
grant execute on function exportbox.is_allowed(jsonb, text) to exportbox_operator;

create function exportbox.assert_declared(report text, declared jsonb, given jsonb[]) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    undeclared text;
begin
    select k.name into undeclared
    from unnest(given) as g (params), jsonb_object_keys(g.params) as k (name) where not declared ? k.name limit 1;
    if found then -- guard: undeclared
        raise exception using errcode = 'EB006', message = format('report "%s" has no parameter "%s"', report, left(undeclared, 100)),
            hint = case when declared = '{}' then 'It takes no parameters.'
                else 'It takes: ' || (select string_agg(k.name, ', ') from jsonb_object_keys(declared) as k (name)) || '.' end;
    end if;
end
$$;
comment on function exportbox.assert_declared(text, jsonb, jsonb[]) is 'Refuse parameters that a report does not have: before anything else that is wrong with them.';
-- For trying a report before it is registered.
grant execute on function exportbox.assert_declared(text, jsonb, jsonb[]) to exportbox_operator;

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
            if type = 'text' then canonical := texts; -- guard: nothing spliced
            elsif type = 'integer' then canonical := texts::integer[]::text[];
            elsif type = 'bigint' then canonical := texts::bigint[]::text[];
            elsif type = 'numeric' then canonical := texts::numeric[]::text[];
            elsif type = 'boolean' then canonical := texts::boolean[]::text[];
            elsif type = 'uuid' then canonical := texts::uuid[]::text[];
            elsif type = 'date' and current_setting('datestyle') like 'ISO,%' then -- guard: ISO dates
                canonical := texts::date[]::text[]; -- guard: date
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
-- For trying a report before it is registered.
grant execute on function exportbox.read_all_params(text, jsonb, jsonb[]) to exportbox_operator;

create function exportbox.read_params(report text, declared jsonb, given jsonb) returns jsonb
language sql stable
return (exportbox.read_all_params(report, declared, array[given]))[1];
comment on function exportbox.read_params(text, jsonb, jsonb) is 'The values that one request of a report runs with.';
-- For trying a report before it is registered.
grant execute on function exportbox.read_params(text, jsonb, jsonb) to exportbox_operator;

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
-- For trying a report before it is registered.
grant execute on function exportbox.declare_params(jsonb) to exportbox_operator;
