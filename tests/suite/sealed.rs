//! Sealed reports: aws_s3 is called by the worker, and everything in the query has the report's rights and no others.

use exportbox::export::ExporterSetting;

use crate::harness::World;
use crate::harness::requests::refusal;

/// Who a report is, at its top and in a function that it calls.
const WHO: &str = "select current_user::text as who, public.inner_who() as inner_who, n, n as again, exportbox.param('who') as param from public.item where n < 3";
const INNER: &str = "create function public.inner_who() returns text language plpgsql as $$ begin return current_user; end $$";

#[tokio::test]
async fn the_worker_calls_aws_s3_and_everything_in_the_report_runs_as_its_role() {
    let world = World::with_sealed_reports().await;
    world.sql(INNER).await;
    let reports = world.reports();
    let usable = "select has_function_privilege($1, 'aws_s3.query_export_to_s3(text, text, text, text, text, text)', 'execute')";
    assert!(!world.row(usable, &[&reports]).await.get::<_, bool>(0), "the report's role may not call aws_s3");
    let params = "params => '{\"who\": \"x''; drop table item; --\"}'";
    let id = world.report("who", WHO, params).await;
    world.complete(&[id]).await;
    assert_eq!(world.exporters(id).await, ["aws_s3"]);
    let file = String::from_utf8(world.stored(id).await).unwrap();
    let expected = format!(
        "who,inner_who,n,again,param\n{reports},{reports},1,1,x'; drop table item; --\n{reports},{reports},2,2,x'; drop table item; --\n"
    );
    assert_eq!(file, expected);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn a_sealed_file_is_what_streaming_gives_in_every_format() {
    let mut world = World::with_sealed_reports().await;
    let query = "select n as \"=n\", '=1+' || word as word, null::date as nothing, array[n] as list, E'a\\nb' as text, json_build_object('n', n) as j from public.item;";
    let one = "select word from public.item where n < 4 -- one column";
    let mut exports = Vec::new();
    for (name, query) in [("many", query), ("one", one), ("none", "select n from public.item where false")] {
        for more in ["format => 'csv'", "format => 'text'", "format => 'jsonl'", "recipients => '{ann@example.com}'"] {
            exports.push((more, world.report(name, query, more).await, world.report(name, query, more).await));
        }
    }
    let (inside, streamed): (Vec<_>, Vec<_>) = exports.iter().map(|(_, inside, streamed)| (*inside, *streamed)).unzip();
    world.set_jobs("run_at = now() + interval '1 hour'", &format!("export_id = any ('{{{}}}')", join(&streamed))).await;
    world.complete(&inside).await;
    world.settings.exporter = ExporterSetting::Copy;
    world.let_time_pass().await;
    world.complete(&streamed).await;
    for (more, inside, streamed) in exports {
        assert_eq!(
            (world.exporters(inside).await, world.exporters(streamed).await),
            (vec!["aws_s3".into()], vec!["copy".into()]),
            "{more}"
        );
        let (inside, streamed) = (world.stored(inside).await, world.stored(streamed).await);
        assert_eq!(String::from_utf8(inside), String::from_utf8(streamed), "{more}");
    }
}

fn join(ids: &[uuid::Uuid]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn nothing_in_a_sealed_report_can_take_another_role_or_write_to_s3_by_itself() {
    let world = World::with_sealed_reports().await;
    let daemon = format!("{}_daemon", world.database);
    world
        .sql(
            "create function public.becomes(who text) returns text language plpgsql as $$
             begin perform set_config('role', who, true); return current_user; end $$;
             create function public.uploads() returns bigint language plpgsql as $$
             begin return (select bytes_uploaded from aws_s3.query_export_to_s3('select 1', 'exports', 'stolen', 'eu-west-1')); end $$;
             create function public.steals(text) returns boolean language plpgsql as $$
             begin if session_user like '%!_daemon' escape '!' then perform public.becomes('none'), public.uploads(); end if; return true; end $$;
             create domain public.tag as text check (public.steals(value))",
        )
        .await;
    let mut exports = Vec::new();
    for (name, query) in [
        ("becomes", format!("select public.becomes('{daemon}') as who")),
        ("none", "select public.becomes('none') as who".into()),
        ("session", format!("select set_config('session_authorization', '{daemon}', true) as who")),
        ("uploads", "select public.uploads() as bytes".into()),
        ("authid", "select rolname::text from pg_authid".into()),
        ("requests", "select query from exportbox.outbox".into()),
        // Reading such a constant runs the domain's check.
        ("read", "select cardinality('{x}'::public.tag[]) as n".into()),
    ] {
        exports.push((name, world.report(name, &query, "").await));
    }
    world.drain().await;
    for (name, id) in exports {
        // Some do not come so far as to be exported at all.
        assert_ne!(world.exporters(id).await, ["copy"], "{name}");
        assert_eq!(world.death(id).await.0, "permission", "{name}");
    }
    assert_eq!(world.s3.objects("exports").await.unwrap(), []);
}

#[tokio::test]
async fn what_its_owner_has_changed_is_no_sealed_report_any_more_and_is_streamed() {
    for change in [
        "alter function exportbox.SEALED() security invoker",
        "alter function exportbox.SEALED() owner to app; alter function exportbox.SEALED_fits() owner to app",
        "create or replace function exportbox.SEALED() returns table (n integer, word text) language sql stable security definer set search_path = public, pg_temp as 'select 1, ''x'''",
        "drop function exportbox.SEALED()",
        "alter table public.item alter column n type bigint",
        "revoke execute on all functions in schema aws_s3 from DAEMON",
    ] {
        let world = World::with_sealed_reports().await;
        let id = world.report("items", "select n, word from public.item", "").await;
        let sealed = world.text("select exportbox.sealed_name('items', 1)").await;
        world.sql(&change.replace("SEALED", &sealed).replace("DAEMON", &format!("{}_daemon", world.database))).await;
        world.complete(&[id]).await;
        assert_eq!(world.exporters(id).await, ["copy"], "{change}");
    }
}

#[tokio::test]
async fn what_wraps_a_sealed_report_for_its_format_is_the_servers_own_whatever_stands_before_it() {
    let world = World::with_sealed_reports().await;
    let id = world.report("items", "select word from public.item where n = 1", "recipients => '{ann@example.com}'").await;
    // It would run with the rights of the daemon's login.
    let before = format!(
        "create function public.spies(text, text) returns boolean language plpgsql as $$ begin raise exception 'ran as %', current_user; end $$;
         create operator public.~ (leftarg = text, rightarg = text, function = public.spies);
         alter role {0}_daemon in database {0} set search_path = public, pg_catalog",
        world.database
    );
    world.sql(&before).await;
    world.complete(&[id]).await;
    assert_eq!(world.exporters(id).await, ["aws_s3"]);
    assert_eq!(world.stored(id).await, b"word\nitem 1\n");
}

#[tokio::test]
async fn an_ad_hoc_query_never_gets_the_workers_aws_s3() {
    let mut world = World::with_sealed_reports().await;
    let app = world.app().await;
    let call = "select exportbox.request_export(query => 'select n from public.item')";
    world.sql("grant select on public.item to app").await;
    let id = app.query_one(call, &[]).await.unwrap().get(0);
    world.complete(&[id]).await;
    assert_eq!(world.exporters(id).await, ["copy"]);
    world.settings.exporter = ExporterSetting::AwsS3;
    let forced = app.query_one(call, &[]).await.unwrap().get(0);
    world.drain().await;
    let export = world.export(forced).await;
    assert_eq!((&export["state"], &export["error_class"]), (&"pending".into(), &"aws_s3_config".into()));
    assert!(export["error"].as_str().unwrap().contains("exportbox.seal_report"), "{export}");
}

#[tokio::test]
async fn only_one_select_of_built_in_types_is_sealed_and_nothing_runs_while_it_is() {
    let world = World::with_sealed_reports().await;
    world
        .sql(
            "create function public.runs() returns int language plpgsql immutable as $$ begin raise exception 'ran'; end $$;
             create type public.mood as enum ('good')",
        )
        .await;
    let refused = [
        ("two", "select 1; drop table public.item"),
        ("out", "select 1) as q; drop table public.item; select * from (select 1"),
        ("writes", "delete from public.item returning n"),
        ("opened", "select 1 /* "),
        ("both", "select 1 as n) as q; select * from (select 1 as n"),
        ("mood", "select 'good'::public.mood as mood"),
        ("row", "select i from public.item as i"),
        ("same", "select n, n from public.item"),
        ("nothing", "select from public.item"),
    ];
    for (name, query) in refused {
        // It can be registered, and may die when it runs; what it cannot is being sealed.
        world.row("select exportbox.register_report($1, $2, run_as => $3, plan => false)", &[&name, &query, &world.reports()]).await;
        let said = refusal(&world.admin, &format!("select exportbox.seal_report('{name}')")).await;
        assert_eq!(said.code, "EB064", "{name}: {said:?}");
    }
    world
        .row("select exportbox.register_report('runs', 'select public.runs() as n', run_as => $1, plan => false)", &[&world.reports()])
        .await;
    let sealed = world.text("select exportbox.seal_report('runs')").await;
    assert_eq!(sealed, world.text("select exportbox.seal_report('runs')").await);
    world.row("select exportbox.register_report('super', 'select 1 as n', run_as => 'postgres')", &[]).await;
    assert!(refusal(&world.admin, "select exportbox.seal_report('super')").await.message.contains("superuser"));
    assert_eq!(world.count("select count(*) from public.item").await, 20);
    assert_eq!(world.count("select count(*) from pg_class where relname like 'sealing%'").await, 0);
    assert!(!world.row("select has_schema_privilege($1, 'exportbox', 'create')", &[&world.reports()]).await.get::<_, bool>(0));
}

#[tokio::test]
async fn what_reading_a_reports_text_runs_has_the_rights_of_its_role() {
    let world = World::with_sealed_reports().await;
    let reports = world.reports();
    // The check of a domain runs where a constant of an array of it is read, before anything is planned.
    let check = format!(
        "create function public.whose() returns boolean language plpgsql as $$ begin
         perform set_config('search_path', 'public', false);
         if current_user <> '{reports}' then raise exception 'ran as %', current_user; end if; return true; end $$;
         create domain public.d as integer check (public.whose())"
    );
    world.sql(&check).await;
    world
        .row(
            "select exportbox.register_report('read', 'select cardinality(''{1}''::public.d[]) as n', run_as => $1, plan => false)",
            &[&reports],
        )
        .await;
    let sealed = world.text("select exportbox.seal_report('read')").await;
    assert_eq!(world.count(&format!("select count(*) from pg_proc where proname = '{sealed}'")).await, 1);
}

#[tokio::test]
async fn an_operator_gets_no_rights_of_the_schemas_owner_by_sealing() {
    let world = World::with_sealed_reports().await;
    let operator = world.operator().await;
    let own = format!("{}_own", world.database);
    // The operator may become all but the first and the last, and is told of each why it is not sealed.
    let roles = format!(
        "create role {own}; create role {own}_worker; create role {own}_owner;
         grant exportbox_worker to {own}_worker; grant postgres to {own}_owner;
         grant {own}_worker, {own}_owner, pg_read_all_data to operator_{}",
        world.database
    );
    world.sql(&roles).await;
    let (daemon, reports) = (format!("{}_daemon", world.database), world.reports());
    let has_rights = "which has rights of exportbox or of the server";
    for (role, why) in [
        (own.as_str(), "may not become"),
        ("exportbox_operator", has_rights),
        ("exportbox_requester", has_rights),
        (&format!("{own}_worker"), has_rights),
        (&format!("{own}_owner"), has_rights),
        (&daemon, has_rights),
        ("pg_read_all_data", has_rights),
        ("postgres", "superuser"),
        // The daemon may become this one: reading the text would run code with its rights in the operator's session.
        (&reports, "may not become"),
    ] {
        let register = "select exportbox.register_report($1, 'select 1 as n', run_as => $1, plan => false)";
        let registered = operator.execute(register, &[&role]).await;
        if why == "may not become" {
            registered.unwrap();
        } else {
            assert_eq!(registered.unwrap_err().code().unwrap().code(), "EB060", "{role}");
            // Past what registering refuses.
            let insert = "insert into exportbox.report (name, version, query, run_as) values ($1, 1, 'select 1 as n', $1)";
            world.admin.execute(insert, &[&role]).await.unwrap();
        }
        let said = refusal(&operator, &format!("select exportbox.seal_report('{role}')")).await;
        assert!(said.code == "EB064" && said.message.contains(why), "{role}: {said:?}");
    }
    assert_eq!(world.count("select count(*) from pg_proc where proname like 'sealed!_%!_1' escape '!'").await, 0);
}

#[tokio::test]
async fn a_sealed_function_that_was_changed_is_made_anew_and_looks_into_no_schema_open_to_everybody() {
    let world = World::with_sealed_reports().await;
    world.row("select exportbox.register_report('items', 'select n from public.item', run_as => $1)", &[&world.reports()]).await;
    let sealed = world.text("select exportbox.seal_report('items')").await;
    let looks = format!(
        "select concat_ws('; ', array_to_string(proconfig, ' '), prosecdef, proowner::regrole, prosrc, pg_get_function_result(oid),
            case when has_function_privilege('public', oid, 'execute') then 'for everybody' end) from pg_proc where proname = '{sealed}'"
    );
    let as_sealed = |path: &str, n: &str| format!("search_path={path}; t; {}; select n from public.item; TABLE(n {n})", world.reports());
    assert_eq!(world.text(&looks).await, as_sealed("public, pg_temp", "integer"));
    for change in [
        "alter function exportbox.SEALED() security invoker",
        "alter function exportbox.SEALED() set search_path = 'elsewhere'",
        "alter function exportbox.SEALED() owner to app; alter function exportbox.SEALED_fits() owner to app",
        "create or replace function exportbox.SEALED() returns table (n integer) language sql stable security definer
            set search_path = public, pg_temp as 'select 1'",
    ] {
        world.sql(&change.replace("SEALED", &sealed)).await;
        assert_ne!(world.text(&looks).await, as_sealed("public, pg_temp", "integer"), "{change}");
        world.sql("select exportbox.seal_report('items')").await;
        assert_eq!(world.text(&looks).await, as_sealed("public, pg_temp", "integer"), "{change}");
    }
    world.sql("alter table public.item alter column n type bigint; select exportbox.seal_report('items')").await;
    assert_eq!(world.text(&looks).await, as_sealed("public, pg_temp", "bigint"));
    world.sql("grant create on schema public to public; select exportbox.seal_report('items')").await;
    assert_eq!(world.text(&looks).await, as_sealed("pg_temp", "bigint"));
}

#[tokio::test]
async fn a_sealed_report_goes_row_by_row_and_leaves_no_temporary_file() {
    let world = World::with_sealed_reports().await;
    world.sql(&format!("create table public.wide as select n, repeat(md5(n::text), 10) as word from generate_series(1, 60000) as n; grant select on public.wide to {}", world.reports())).await;
    // Far less than the result, which is some 20 MB.
    world.sql(&format!("alter role {0}_daemon in database {0} set work_mem = '64kB'", world.database)).await;
    let id = world.report("wide", "select n, word from public.wide", "").await;
    world.complete(&[id]).await;
    assert_eq!(world.exporters(id).await, ["aws_s3"]);
    assert_eq!(world.export(id).await["rows"], 60000);
    world.until("select true from pg_stat_force_next_flush() as f").await;
    assert_eq!(world.count("select temp_bytes from pg_stat_database where datname = current_database()").await, 0);
}

#[tokio::test]
async fn a_sealed_reports_own_key_goes_with_the_call() {
    let world = World::with_sealed_reports().await;
    let register = "select exportbox.register_report('keyed', 'select n from public.item', run_as => $1, kms_key => 'alias/reports')";
    world.row(register, &[&world.reports()]).await;
    world.sql("select exportbox.seal_report('keyed')").await;
    // Without the key there is no row, and no export.
    world.answer_instead("select * from aws_s3.honest(query, bucket, file_path, region, options) where kms_key = 'alias/reports'").await;
    world.sql(&format!("grant execute on all functions in schema aws_s3 to {}_daemon", world.database)).await;
    let id = world.request_report("keyed", serde_json::json!({}), "").await;
    world.complete(&[id]).await;
    assert_eq!(world.exporters(id).await, ["aws_s3"]);
    assert_eq!(world.stored(id).await.iter().filter(|byte| **byte == b'\n').count(), 21);
}
