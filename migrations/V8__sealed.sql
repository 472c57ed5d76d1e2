-- Sealed reports: a report as a function that runs with the rights of the report's role, whoever calls it. So aws_s3 stays with the worker.
--
-- aws_s3 runs the query's text as its caller. Views and cursors do not help: functions inside them run as whoever reads. A SECURITY DEFINER
-- function does, down to the last function inside, and nothing in it can take another role. Called in a select list, an SQL function gives its
-- rows one by one: nothing is kept in memory or in temporary files.

create function exportbox.sealed_name(report text, version integer) returns text
language sql immutable parallel safe
as $$ select 'sealed_' || pg_catalog.left(pg_catalog.md5(report), 20) || '_' || version $$;
comment on function exportbox.sealed_name(text, integer) is 'Name of the function that is this version of a report, sealed.';

create function exportbox.seal_report(name text, version integer default null) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set check_function_bodies = on
as $$
declare
    entry record;
    sealed text;
    bare text;
    probe text;
    found_as record;
    taken text;
    path text;
    columns text;
    foreign_column text;
    aliases integer := 0;
    may_create boolean;
    detail text;
begin
    select r.version, r.query, r.run_as, pg_roles.rolsuper into entry
    from exportbox.report as r left join pg_roles on pg_roles.rolname = r.run_as
    where r.name = seal_report.name and r.version = coalesce(seal_report.version, r.version)
    order by r.version desc limit 1;
    if not found then
        raise exception using errcode = 'EB064', message = format('there is no report "%s"', seal_report.name), hint = 'Register it first.';
    end if;
    if coalesce(entry.rolsuper, true) then
        raise exception using errcode = 'EB064', message = format('report "%s" runs as a superuser or as a role that is gone', seal_report.name),
            hint = 'Register it with run_as set to a role that can read what it needs and no more.';
    end if;
    sealed := exportbox.sealed_name(seal_report.name, entry.version);
    probe := 'sealing_' || pg_backend_pid();
    bare := regexp_replace(entry.query, '[\s;]+$', '');
    path := coalesce((
        select substr(setting, length('search_path=') + 1)
        from pg_db_role_setting, unnest(setconfig) as setting
        where setdatabase = (select oid from pg_database where datname = current_database()) and setrole = 0 and setting like 'search_path=%'),
        '"$user", public') || ', pg_temp';
    select p.proowner::regrole::text as owner, p.prosrc, p.proconfig into found_as
    from pg_proc as p where p.pronamespace = 'exportbox'::regnamespace and p.proname = sealed;
    if found and found_as.owner = quote_ident(entry.run_as) and found_as.prosrc = bare then
        return sealed;
    elsif found then
        execute format('drop function exportbox.%I()', sealed);
    end if;

    begin
        perform set_config('search_path', path, true);
        -- Three readings, none of which plans or runs anything. Alone the text is whole statements; inside parentheses it is one SELECT; what is
        -- both cannot break out of the view, which tells the types of its columns.
        execute pg_catalog.format('create function exportbox.%I() returns setof record language sql as %L', probe, bare);
        execute pg_catalog.format('drop function exportbox.%I()', probe);
        execute pg_catalog.format('create function exportbox.%I() returns setof record language sql as %L', probe, E'select 1 from (\n' || bare || E'\n) as q');
        execute pg_catalog.format('drop function exportbox.%I()', probe);
        loop
            begin
                execute pg_catalog.format(E'create view exportbox.%I as select * from (\n%s\n) as q%s', probe, bare, (
                    select ' (' || pg_catalog.string_agg('exportbox_c' || n, ', ') || ')' from pg_catalog.generate_series(1, aliases) as n));
                exit;
            exception when duplicate_column then
                -- Two columns of one name: a file may have that, a view may not.
                aliases := aliases operator(pg_catalog.+) 1;
            end;
        end loop;
        perform set_config('search_path', 'pg_catalog, pg_temp', true);
    exception when others then
        get stacked diagnostics detail = message_text;
        raise exception using errcode = 'EB064', message = format('report "%s" cannot be sealed: %s', seal_report.name, detail),
            hint = 'It must be one SELECT with named built-in types, readable in the schemas that the role sees; it is exported by streaming until then.';
    end;
    select string_agg(format('c%s %s', a.attnum, format_type(a.atttypid, null)), ', ' order by a.attnum),
        min(a.attname) filter (where a.atttypid >= 16384)
    into columns, foreign_column
    from pg_attribute as a where a.attrelid = format('exportbox.%I', probe)::regclass and a.attnum > 0;
    execute format('drop view exportbox.%I', probe);
    if columns is null or foreign_column is not null then
        -- Such a type's casts are somebody's code, and what wraps the report for a format would run it with the worker's rights.
        raise exception using errcode = 'EB064', message = format('report "%s" has no columns, or one of a type that is not built in', seal_report.name),
            hint = 'Cast it to text in the report.';
    end if;

    execute format('create function exportbox.%I() returns table (%s) language sql stable security definer set search_path = %s as %L',
        sealed, columns, path, bare);
    execute format('comment on function exportbox.%I() is %L', sealed, format('Report %s, version %s, sealed.', seal_report.name, entry.version));
    execute format('revoke all on function exportbox.%I() from public', sealed);
    execute format('grant execute on function exportbox.%I() to exportbox_worker', sealed);
    begin
        -- Who is to own a function must be able to create one; until the end of this statement it is.
        may_create := has_schema_privilege(entry.run_as, 'exportbox', 'create');
        if not may_create then
            execute format('grant create on schema exportbox to %I', entry.run_as);
        end if;
        execute format('alter function exportbox.%I() owner to %I', sealed, entry.run_as);
        if not may_create then
            execute format('revoke create on schema exportbox from %I', entry.run_as);
        end if;
    exception when insufficient_privilege then
        select pg_class.relowner::regrole::text into taken from pg_class where pg_class.oid = 'exportbox.report'::regclass;
        raise exception using errcode = 'EB064', message = format('the owner of the schema may not give a function to "%s"', entry.run_as),
            hint = format('Run: grant %I to %s;', entry.run_as, taken);
    end;
    return sealed;
end
$$;
comment on function exportbox.seal_report(text, integer) is 'Make the function that is a report, for exports through aws_s3. Returns its name; done already, it does nothing.';

create function exportbox.report_seal() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
        where nspname = 'aws_s3' and proname = 'query_export_to_s3') then
        perform exportbox.seal_report(new.name, new.version);
    end if;
    return null;
exception when others then
    -- It is a report all the same; its exports are streamed.
    raise notice '%', sqlerrm;
    return null;
end
$$;
comment on function exportbox.report_seal() is 'Seals a report when it is registered in a database that has aws_s3.';
create trigger report_seal after insert on exportbox.report
    for each row execute function exportbox.report_seal();

revoke all on function exportbox.sealed_name(text, integer), exportbox.seal_report(text, integer), exportbox.report_seal() from public;
grant execute on function exportbox.seal_report(text, integer) to exportbox_operator;
grant execute on function exportbox.sealed_name(text, integer) to exportbox_worker;
