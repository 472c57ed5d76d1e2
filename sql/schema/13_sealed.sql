-- Sealed reports: a report as a function that runs with the rights of the report's role, whoever calls it. So aws_s3 stays with the worker.
--
-- aws_s3 runs the query's text as its caller. Views and cursors do not help: functions inside them run as whoever reads. A SECURITY DEFINER
-- function does, down to the last function inside, and nothing in it can take another role. Called in a select list, an SQL function gives its
-- rows one by one: nothing is kept in memory or in temporary files.

create function exportbox.sealed_name(report text, version integer) returns text
language sql immutable parallel safe
return 'sealed_' || left(md5(report), 20) || '_' || version;
comment on function exportbox.sealed_name(text, integer) is 'Name of the function that is this version of a report, sealed.';
grant execute on function exportbox.sealed_name(text, integer) to exportbox_worker;

create function exportbox.sealed_check(sealed text) returns text
language sql immutable parallel safe
-- RETURN QUERY compares types and converts none, before the first row, of which it asks for none.
return format($$begin return query execute pg_catalog.format(E'select * from (\n%%s\n) as q limit 0', (select prosrc from pg_catalog.pg_proc where oid = 'exportbox.%s()'::regprocedure)); end$$, sealed);
comment on function exportbox.sealed_check(text) is 'Body of the function that fails when a sealed report''s columns have other types by now.';

create function exportbox.searched_schemas(role text) returns table (place bigint, schema text, is_open boolean)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select named.place, pg_namespace.nspname::text, has_schema_privilege('public', pg_namespace.oid, 'create')
    from (
        select found.place, case found.token[1] when '"$user"' then searched_schemas.role else (parse_ident(found.token[1]))[1] end as schema
        from regexp_matches(coalesce((
            select substr(setting, length('search_path=') + 1)
            from pg_db_role_setting, unnest(setconfig) as setting
            where setdatabase = (select oid from pg_database where datname = current_database()) and setrole = 0 and setting like 'search_path=%'),
            '"$user", public'), '"(?:[^"]|"")+"|[^",[:space:]]+', 'g') with ordinality as found (token, place)
    ) as named
    join pg_namespace on pg_namespace.nspname = named.schema and pg_namespace.nspname !~ '^pg_temp'
$$;
comment on function exportbox.searched_schemas(text) is
    'The schemas of the database''s search_path that are there, for a role, in their order; is_open: everybody may create in it.';

create function exportbox.sealed_path(role text) returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
    -- Where anybody may create, anybody could put his function in place of the one that the report means.
    select coalesce(string_agg(quote_ident(searched.schema), ', ' order by searched.place) || ', ', '') || 'pg_temp'
    from exportbox.searched_schemas(sealed_path.role) as searched
    where not searched.is_open -- guard: closed schemas
$$;
comment on function exportbox.sealed_path(text) is 'The database''s search_path as a role''s sealed reports have it: the schemas that are there and that not everybody may create in.';

create function exportbox.has_own_types(types oid[]) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$ select exists (select from unnest(types) as t (oid) where coalesce(t.oid, 16384) >= 16384) $$; -- guard: built-in types
comment on function exportbox.has_own_types(oid[]) is 'Whether one of these types is not built in: its casts are somebody''s code.';

create function exportbox.assert_may_seal_for(role text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_roles where rolname = role
        and not rolsuper -- guard: no superuser
    ) then
        raise exception using errcode = 'EB064', message = 'the report runs as a superuser or as a role that is gone',
            hint = 'Register it with run_as set to a role that can read what it needs and no more.';
    end if;
    if not exportbox.may_run(role) then
        raise exception using errcode = 'EB064', message = format('the report runs as "%s", which has rights of exportbox or of the server', role),
            hint = 'Register it with run_as set to a role that can read what it needs and no more.';
    end if;
    -- Reading the text runs code of the role, whose words and side effects reach the session that seals.
    if not pg_has_role(exportbox.acting_role(), role, 'member') then -- guard: own roles
        raise exception using errcode = 'EB064', message = format('"%s" may not become "%s"', exportbox.acting_role(), role),
            hint = format('Have a member of it call exportbox.seal_report, or grant %I to %I.', role, exportbox.acting_role());
    end if;
end
$$;
comment on function exportbox.assert_may_seal_for(text) is 'Whom a sealed report may run as: a role that its sealer may become anyway.';

create function exportbox.give_function(name text, role text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    -- Who is to own a function must be able to create one; the caller takes that back.
    execute format('grant create on schema exportbox to %I', role);
    execute format('alter function exportbox.%s owner to %I', name, role);
exception when insufficient_privilege then
    raise exception using errcode = 'EB064', message = format('the owner of the schema may not give a function to "%s"', role),
        hint = format('Run: grant %I to %s;', role, (select relowner::regrole from pg_class where oid = 'exportbox.report'::regclass));
end
$$;
comment on function exportbox.give_function(text, text) is 'Make a role the owner of a function here. For seal_report, which has checked who may.';

create function exportbox.seal_report(name text, version integer default null) returns text
language plpgsql volatile security definer
-- The text of a report is never read here: reading alone can run code, such as a domain's check of a constant.
set search_path = pg_catalog, pg_temp set check_function_bodies = off
as $$
declare
    entry record;
    sealed text;
    bare text;
    probe text;
    path text;
    types oid[];
    names name[];
    columns text;
    part text;
    could_create boolean;
    detail text;
begin
    select r.version, r.query, r.run_as into entry
    from exportbox.report as r
    where r.name = seal_report.name and r.version = coalesce(seal_report.version, r.version)
    order by r.version desc limit 1;
    if not found then
        raise exception using errcode = 'EB064', message = format('there is no report "%s"', seal_report.name), hint = 'Register it first.';
    end if;
    perform exportbox.assert_may_seal_for(entry.run_as); -- guard: may seal
    sealed := exportbox.sealed_name(seal_report.name, entry.version);
    probe := format('sealing_%s', pg_backend_pid());
    bare := regexp_replace(entry.query, '[\s;]+$', '');
    path := exportbox.sealed_path(entry.run_as);
    perform pg_advisory_xact_lock(hashtext('exportbox'), hashtext('grant'));
    could_create := has_schema_privilege(entry.run_as, 'exportbox', 'create');

    begin
        -- A function of our text that the role owns, so that it reads the report with its rights. However this block ends, it is rolled back with
        -- all tables, functions and settings that code of the role may have made; what PostgreSQL keeps all the same (prepared statements,
        -- locks of the session) is in the session of a member of that role.
        execute format('create function exportbox.%I(query text, path text, probe text, out types oid[], out names name[]) language plpgsql security definer
            set search_path = pg_catalog, pg_temp set check_function_bodies = on as %L', probe, $probe$
            begin
                perform pg_catalog.set_config('search_path', path, true);
                -- Three readings, none of which plans or runs the query. Alone the text is whole statements; inside parentheses it is one SELECT;
                -- what is both cannot break out of the view, which tells names and types of its columns.
                execute pg_catalog.format('create function exportbox.%I() returns setof record language sql as %L', probe, query); -- guard: read alone
                execute pg_catalog.format('create or replace function exportbox.%I() returns setof record language sql as %L', probe,
                    pg_catalog.format(E'select 1 from (\n%s\n) as q', query));
                execute pg_catalog.format(E'create view exportbox.%I as select * from (\n%s\n) as q', probe, query);
                perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
                select array_agg(a.atttypid order by a.attnum), array_agg(a.attname order by a.attnum) into types, names
                from pg_attribute as a where a.attrelid = format('exportbox.%I', probe)::regclass and a.attnum > 0;
            end
            $probe$);
        execute format('grant execute on function exportbox.%I(text, text, text) to public', probe);
        perform exportbox.give_function(format('%I(text, text, text)', probe), entry.run_as); -- guard: read as its role
        execute format('select * from exportbox.%I($1, $2, $3)', probe) into types, names using bare, path, probe;
        raise exception using errcode = 'EB00P'; -- guard: taken back
    exception
        when sqlstate 'EB00P' then null;
        when sqlstate 'EB064' then raise;
        when others then
            get stacked diagnostics detail = message_text;
            raise exception using errcode = 'EB064', message = format('report "%s" cannot be sealed: %s', seal_report.name, detail),
                hint = 'It must be one SELECT, each column with a name of its own and a built-in type, readable in the schemas that the role sees; until then it is streamed.';
    end;
    if coalesce(cardinality(types), 0) = 0 or exportbox.has_own_types(types) then
        -- Such a type's casts are somebody's code, and what wraps the report for a format would run it with the worker's rights.
        raise exception using errcode = 'EB064', message = format('report "%s" has no columns, or one of a type that is not built in', seal_report.name),
            hint = 'Cast it to text in the report.';
    end if;

    select string_agg(format('%I %s', names[t.position], format_type(t.oid, null)), ', ' order by t.position) into columns
    from unnest(types) with ordinality as t (oid, position);
    -- Alike and untouched, both of them: then there is nothing to do.
    if (select count(*) from pg_proc as p join pg_language on pg_language.oid = p.prolang
            where p.pronamespace = 'exportbox'::regnamespace and p.pronargs = 0 and p.proargnames = names::text[]
                and p.proowner::regrole::text = quote_ident(entry.run_as) -- guard: same owner
                and p.prosecdef -- guard: same rights
                and p.proconfig = array[format('search_path=%s', path)] -- guard: same search path
                and p.proallargtypes = types -- guard: same types
                -- guard: same text
                and (p.proname, lanname, p.prosrc) in ((sealed, 'sql', bare), (sealed || '_fits', 'plpgsql', exportbox.sealed_check(sealed)))
        ) = 2 then
        return sealed;
    end if;
    foreach part in array array[sealed, sealed || '_fits'] loop
        execute format('drop function if exists exportbox.%I()', part);
        -- guard: rights of its owner
        execute format('create function exportbox.%I() returns table (%s) language %s stable security definer set search_path = %s as %L', part, columns,
            case part when sealed then 'sql' else 'plpgsql' end, path, case part when sealed then bare else exportbox.sealed_check(sealed) end);
        execute format('comment on function exportbox.%I() is %L', part, format('Report %s, version %s, sealed%s.', seal_report.name, entry.version,
            case part when sealed then '' else ': fails when its columns have other types' end));
        execute format('revoke all on function exportbox.%I() from public', part); -- guard: not for everybody
        execute format('grant execute on function exportbox.%I() to exportbox_worker', part);
        perform exportbox.give_function(format('%I()', part), entry.run_as); -- guard: owner
    end loop;
    if not could_create then
        execute format('revoke create on schema exportbox from %I', entry.run_as); -- guard: no right to create
    end if;
    insert into exportbox.event (kind, detail) values ('report_sealed', format('%s version %s', seal_report.name, entry.version));
    return sealed;
end
$$;
comment on function exportbox.seal_report(text, integer) is 'Make the function that is a report, for exports through aws_s3. Returns its name; done already, it does nothing.';
grant execute on function exportbox.seal_report(text, integer) to exportbox_operator;

create function exportbox.is_sealed(report exportbox.report) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
    -- Both functions as the daemon wants them before each export (sql/source/sealed_report.sql).
    select count(*) = 2
    from pg_proc as made
    join pg_roles as owner on owner.oid = made.proowner
    join pg_language on pg_language.oid = made.prolang
    cross join (select exportbox.sealed_name(report.name, report.version) as name) as sealed
    where made.pronamespace = 'exportbox'::regnamespace and made.pronargs = 0 and made.prosecdef
        and owner.rolname = report.run_as
        and (made.proname, pg_language.lanname, made.prosrc) in (
            (sealed.name, 'sql', regexp_replace(report.query, '[\s;]+$', '')),
            (sealed.name || '_fits', 'plpgsql', exportbox.sealed_check(sealed.name)))
$$;
comment on function exportbox.is_sealed(exportbox.report) is 'Whether a report is sealed, and still what was sealed.';

create function exportbox.exporter_of(name text, version integer, types oid[] default null)
returns table (is_in_database boolean, reason text, sentence text, what_to_do text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry exportbox.report;
    exporter record;
    is_worker boolean;
    has_login boolean;
    opened text;
begin
    select r.* into entry from exportbox.report as r where r.name = exporter_of.name and r.version = exporter_of.version;
    if not found then
        return;
    end if;
    select pg_proc.oid, pg_namespace.oid as schema, coalesce('kms_key' = any (pg_proc.proargnames), false) as takes_key into exporter
    from pg_proc join pg_namespace on pg_namespace.oid = pg_proc.pronamespace
    where pg_namespace.nspname = 'aws_s3' and pg_proc.proname = 'query_export_to_s3'
        and (pg_proc.proargtypes[0], pg_proc.proargtypes[1], pg_proc.proargtypes[2]) = ('text'::regtype, 'text'::regtype, 'text'::regtype)
    order by takes_key desc
    limit 1;
    -- Asked by the daemon's own login, it is about that one; else one of those that may work counts.
    is_worker := exists (select from pg_roles
        where rolname = session_user and not rolsuper and pg_has_role(pg_roles.oid, 'exportbox_worker', 'member'));
    has_login := exists (select from pg_roles
        where rolcanlogin and not rolsuper and pg_has_role(pg_roles.oid, 'exportbox_worker', 'member')
            and (rolname = session_user or not is_worker)
            and has_schema_privilege(pg_roles.oid, exporter.schema, 'usage') and has_function_privilege(pg_roles.oid, exporter.oid, 'execute'));
    select string_agg(quote_ident(searched.schema), ', ' order by searched.place) into opened
    from exportbox.searched_schemas(entry.run_as) as searched
    where searched.is_open;

    return query
    select told.is_in_database, told.reason, told.sentence, told.what_to_do
    from (values
        (1, entry.source <> 'default', false, 'elsewhere',
            format('it runs on the source "%s", and reports are sealed in this database only', entry.source), null),
        (2, exporter.oid is null, false, 'no_aws_s3', 'this database has no aws_s3', null),
        (3, entry.kms_key is not null and not exporter.takes_key, false, 'key',
            'this server''s aws_s3 takes no key of a report''s own', 'alter extension aws_s3 update'),
        (4, exists (select from pg_roles where rolname = entry.run_as and has_schema_privilege(pg_roles.oid, exporter.schema, 'usage')
                and has_function_privilege(pg_roles.oid, exporter.oid, 'execute')),
            true, 'role', format('its role "%s" may call aws_s3 itself', entry.run_as), null),
        (5, not has_login, false, 'login', 'no login of the daemon may call aws_s3',
            'grant usage on schema aws_s3 and execute on all functions in it to the daemon''s login'),
        (6, exportbox.is_sealed(entry), true, 'sealed', 'it is sealed', null),
        (7, exportbox.has_own_types(types), false, 'types', 'it cannot be sealed: it has a column of a type that is not built in',
            'cast the column to text in the report, register it again, and seal it'),
        (8, exists (select from pg_proc where proname = exportbox.sealed_name(entry.name, entry.version)
                and pronamespace = 'exportbox'::regnamespace), false, 'changed', 'it is not what was sealed any more',
            format('exportbox report seal %s', entry.name)),
        (9, opened is not null, false, 'open_schema',
            format('it is not sealed, and everybody may create in the schema %s, where a sealed report sees nothing without the schema''s name', opened),
            format('revoke create on schema %s from public; then: exportbox report seal %s', opened, entry.name)),
        (10, true, false, 'not_sealed', 'it is not sealed', format('exportbox report seal %s', entry.name))
    ) as told (rank, applies, is_in_database, reason, sentence, what_to_do)
    where told.applies
    order by told.rank
    limit 1;
end
$$;
comment on function exportbox.exporter_of(text, integer, oid[]) is
    'Whether aws_s3 would export a report in the database, and why, as far as this database knows: the daemon''s settings may say otherwise. With the types of its columns also whether they can be sealed.';
grant execute on function exportbox.exporter_of(text, integer, oid[]) to exportbox_operator, exportbox_reader;
