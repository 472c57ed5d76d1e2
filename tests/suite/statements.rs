//! The statements as source code: each a file of its own, named, used, valid against the real schema, and within the rights of who runs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use exportbox::sandbox::{Place, aws_s3};
use exportbox::sql::{ALL, FOR_PEOPLE, PLACES, parameter_types};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use crate::harness::files::files;
use crate::harness::statements::{parameters, statement};
use crate::harness::{World, connect};

#[test]
fn every_file_in_sql_is_listed_once_and_every_listed_statement_is_used() {
    let found = files("sql", "sql").into_iter().map(|(path, _)| path).filter(|path| !path.starts_with("sql/schema/"));
    let listed: Vec<String> = PLACES.iter().map(|(folder, name)| format!("sql/{folder}/{name}.sql")).collect();
    assert_eq!(found.collect::<Vec<_>>(), listed, "sql/ and src/sql.rs, in alphabetical order");

    let code: String = files("src", "rs").into_iter().map(|(_, text)| text).collect();
    for (_, name) in PLACES {
        let constant = format!("sql::{}", name.to_uppercase());
        let used = code
            .match_indices(&constant)
            .any(|(at, _)| !code[at + constant.len()..].starts_with(|c: char| c == '_' || c.is_alphanumeric()));
        assert!(used, "{constant} is used nowhere");
    }
}

#[test]
fn every_statement_carries_its_name_its_purpose_and_one_line_for_each_parameter() {
    for (name, text) in ALL {
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("-- name: {name}"));
        assert!(lines[1].starts_with("-- ") && !lines[1].starts_with("-- $"), "{name} does not say what it is for");
        let documented: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("-- $")?.split(' ').next()).collect();
        let body: String = lines.iter().filter(|line| !line.starts_with("--")).copied().collect();
        let used = (1..=20).filter(|number| body.contains(&format!("${number}::"))).count();
        let expected: Vec<String> = (1..=used).map(|number| number.to_string()).collect();
        assert_eq!(documented, expected, "{name}: parameters that are documented, and those in the text");
        let names: BTreeSet<&str> = parameters(text).into_iter().filter(|parameter| !parameter.starts_with('$')).collect();
        let is_plain = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        assert!(
            names.len() == used || used <= 2 && names.is_empty(),
            "{name}: of three parameters on each has a name of its own: {names:?}"
        );
        assert!(names.iter().all(is_plain), "{name}: {names:?}");
        assert!(!body.contains("select *"), "{name}: name the columns");
    }
}

/// A world whose database has the stand-in for aws_s3, and a connection as the daemon's login.
async fn world_with_aws_s3() -> (World, Client) {
    let world = World::new().await;
    let place = Place { program: "/bin/false".into(), results: world.dir(), region: "eu-west-1".into() };
    aws_s3::install(&world.admin, &place).await.unwrap();
    world
        .sql("grant usage on schema aws_s3 to exportbox_daemon; grant execute on all functions in schema aws_s3 to exportbox_daemon")
        .await;
    let daemon = connect(&world.daemon_url()).await;
    (world, daemon)
}

fn types(statement: &Statement) -> String {
    let params: Vec<&str> = statement.params().iter().map(Type::name).collect();
    let columns: Vec<String> = statement.columns().iter().map(|column| format!("{} {}", column.name(), column.type_())).collect();
    format!("({}) -> ({})", params.join(", "), columns.join(", "))
}

#[tokio::test]
async fn every_statement_is_valid_and_has_the_types_that_the_code_expects() {
    let (_world, daemon) = world_with_aws_s3().await;
    let mut signatures = String::new();
    let by_name: BTreeMap<&str, &str> = ALL.iter().copied().collect();
    for (name, text) in by_name {
        let prepared = daemon.prepare(text).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        writeln!(signatures, "{name} {}", types(&prepared)).unwrap();
        assert_eq!(parameter_types(text), prepared.params(), "{name}: the types in its comment");
    }
    insta::assert_snapshot!(signatures);
}

/// What changes the catalogue: the daemon must not.
const CATALOGUE: [&str; 4] = ["register_report", "disable_report", "read_report_params", "seal_report"];

/// No queries, so they have no plan; in the order in which they are valid.
const OF_A_TRANSACTION: [&str; 3] = ["begin_export", "before_estimate", "after_estimate"];

/// Ask for the plan, which checks every right that the statement needs and runs nothing.
async fn assert_may_run(client: &Client, whose: &str, name: &str, text: &str) {
    let prepared = client.prepare(text).await.unwrap();
    let nulls: Vec<String> = prepared.params().iter().map(|param| format!("null::{}", param.name().trim_start_matches('_'))).collect();
    let nulls: Vec<String> = nulls
        .into_iter()
        .zip(prepared.params())
        .map(|(null, param)| if param.name().starts_with('_') { null + "[]" } else { null })
        .collect();
    let arguments = if nulls.is_empty() { String::new() } else { format!("({})", nulls.join(", ")) };
    client.batch_execute(&format!("prepare asked as {text}")).await.unwrap();
    let explained = client.batch_execute(&format!("explain execute asked {arguments}")).await;
    explained.unwrap_or_else(|error| panic!("{whose} may not run {name}: {error:?}"));
    client.batch_execute("deallocate asked").await.unwrap();
}

#[tokio::test]
async fn the_daemons_role_may_run_every_statement() {
    let (_world, daemon) = world_with_aws_s3().await;
    let others = |name: &str| OF_A_TRANSACTION.contains(&name) || FOR_PEOPLE.contains(&name);
    for (name, text) in ALL.iter().filter(|(name, _)| !others(name)) {
        assert_may_run(&daemon, "the daemon", name, text).await;
    }
    for name in OF_A_TRANSACTION {
        daemon.batch_execute(statement(name)).await.unwrap();
    }
}

#[tokio::test]
async fn readers_may_run_what_looks_and_operators_also_what_acts() {
    let world = World::new().await;
    let (reader, operator) = (world.login("reader", &["exportbox_reader"]).await, world.login("operator", &["exportbox_operator"]).await);
    let look = [
        "schema_versions",
        "health",
        "status_recent",
        "show_export",
        "show_objects",
        "show_deliveries",
        "show_attempts",
        "show_events",
        "list_dead",
        "list_reports",
        "show_report",
        "report_exporter",
        "report_exporters",
        "list_schedules",
    ];
    let texts: BTreeMap<&str, &str> = ALL.iter().copied().collect();
    for name in look {
        assert_may_run(&reader, "a reader", name, texts[name]).await;
    }
    let act = ["cancel", "cancel_where", "requeue", "requeue_where", "relink", "erase", "register_schedule", "switch_schedule", "prune"];
    for name in look.into_iter().chain(act).chain(CATALOGUE) {
        assert_may_run(&operator, "an operator", name, texts[name]).await;
    }
}

#[tokio::test]
async fn every_table_view_column_index_and_function_says_what_it_is() {
    let world = World::new().await;
    let silent = "
        select coalesce(string_agg(silent.what, ', ' order by silent.what), '') from (
            select pg_class.relname as what
            from pg_class
            where relnamespace = 'exportbox'::regnamespace and relkind in ('r', 'v', 'S')
                -- A sequence belongs to its column, and speaks through it.
                and relkind <> 'S' and relname <> 'schema_history' and obj_description(oid, 'pg_class') is null
            union all
            select pg_class.relname || '.' || attname
            from pg_attribute join pg_class on pg_class.oid = attrelid
            where relnamespace = 'exportbox'::regnamespace and relkind in ('r', 'v') and relname <> 'schema_history'
                and attnum > 0 and not attisdropped and col_description(attrelid, attnum) is null
            union all
            -- Primary keys and unique constraints, too: who reads them is not in their name.
            select pg_class.relname
            from pg_class
            where relnamespace = 'exportbox'::regnamespace and relkind = 'i' and obj_description(oid, 'pg_class') is null
                and relname <> 'schema_history_pkey'
            union all
            select proname || '()' from pg_proc
            where pronamespace = 'exportbox'::regnamespace and obj_description(oid, 'pg_proc') is null
        ) as silent";
    assert_eq!(world.text(silent).await, "", "objects without a comment");
}

#[tokio::test]
async fn every_function_pins_its_search_path_or_qualifies_what_it_names() {
    let world = World::new().await;
    let loose = "select coalesce(string_agg(proname, ', '), '') from pg_proc
        where pronamespace = 'exportbox'::regnamespace and (prosecdef or prolang = (select oid from pg_language where lanname = 'plpgsql'))
            and not coalesce(proconfig @> array['search_path=pg_catalog, pg_temp'], false)";
    assert_eq!(world.text(loose).await, "");
}
