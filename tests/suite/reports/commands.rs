//! `exportbox report add|list|show|disable|test`; `seal` and who would export a report: `reports/expected.rs`.

use serde_json::json;

use crate::harness::World;
use crate::harness::process::{assert_gave_up, code, json, stderr, stdout};

const MONTHLY: &str = r#"
name = "monthly-orders"
description = "All orders of one month"
run_as = "app"
query = """
select n, day from public.orders
where day >= (select exportbox.param('month')::date)
order by n
"""
requesters = ["app"]
formats = ["csv", "jsonl"]
max_rows = 1_000
timeout = "15m"
recipient_domains = ["example.com"]
object_life = "7d"
prefix = "orders"

[params.month]
type = "date"
required = true
min = 2020-01-01
description = "First day of the month"

[params]
shop = "text"
"#;

async fn world_with_orders() -> (World, String) {
    let world = World::new().await;
    world.sql("create table public.orders as select n, date '2026-01-01' + n as day from generate_series(1, 20) as n; grant select on public.orders to app").await;
    let url = world.operator_url().await;
    (world, url)
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

/// Keys of a table may not come after the table was left; TOML wants the short form first.
fn monthly() -> String {
    let (head, shop) = MONTHLY.split_once("[params]\n").unwrap();
    let (top, month) = head.split_once("[params.month]").unwrap();
    format!("{top}[params]\n{shop}\n[params.month]{month}")
}

#[tokio::test]
async fn a_file_is_registered_once_and_a_change_is_a_new_version() {
    let (world, url) = world_with_orders().await;
    let as_operator = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    let file = world.file_of("monthly.toml", &monthly());
    let add = |more: &'static [&'static str]| {
        let arguments: Vec<&str> = ["report", "add", text(&file)].into_iter().chain(more.iter().copied()).collect();
        let world = &world;
        async move { world.run_with(&arguments, &as_operator).await }
    };
    let dry = add(&["--dry-run"]).await;
    assert_eq!(
        (code(&dry), stdout(&dry).as_str()),
        (0, "monthly-orders: would register version 1\n  streamed: this database has no aws_s3\n"),
        "{}",
        stderr(&dry)
    );
    assert_eq!(world.count("select count(*) from exportbox.report").await, 0);
    assert_eq!(stdout(&add(&[]).await), "monthly-orders: registered version 1\n  streamed: this database has no aws_s3\n");
    assert!(stdout(&add(&[]).await).starts_with("monthly-orders: unchanged version 1\n"));
    world.file_of("monthly.toml", &monthly().replace("1_000", "2_000"));
    let second = json(&add(&["--json"]).await);
    assert_eq!(second["reports"][0]["result"], "registered");
    assert_eq!((&second["reports"][0]["version"], world.count("select count(*) from exportbox.report").await), (&json!(2), 2));
    let event = "select string_agg(detail || ' by ' || split_part(actor, '_', 1), ', ' order by id) from exportbox.events";
    assert_eq!(world.text(event).await, "monthly-orders version 1 by dba, monthly-orders version 2 by dba");

    // What was registered is what the file says.
    let shown = json(&world.run_with(&["report", "show", "monthly-orders", "--version", "1", "--json"], &as_operator).await);
    assert_eq!((&shown["max_rows"], &shown["is_current"], &shown["prefix"]), (&json!(1000), &json!(false), &json!("orders")));
    let human = stdout(&world.run_with(&["report", "show", "monthly-orders"], &as_operator).await);
    for word in ["version     2", "max rows    2000", "from 2020-01-01", "First day of the month", "from public.orders"] {
        assert!(human.contains(word), "{word} is missing: {human}");
    }
    assert!(stdout(&world.run_with(&["report", "list"], &as_operator).await).contains("All orders of one month"));

    assert!(stdout(&world.run_with(&["report", "disable", "monthly-orders"], &as_operator).await).contains("version 2"));
    assert!(stdout(&world.run_with(&["report", "list"], &as_operator).await).contains("disabled"));
    assert!(stdout(&add(&[]).await).starts_with("monthly-orders: registered version 3\n"));
    assert_eq!(code(&world.run_with(&["report", "disable", "weekly"], &as_operator).await), 1);
}

#[tokio::test]
async fn several_files_are_registered_together_or_not_at_all() {
    let (world, url) = world_with_orders().await;
    let as_operator = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    let right = world.file_of("a.toml", "name = \"a\"\nrun_as = \"app\"\nquery = \"select 1 as n\"");
    let wrong = world.file_of("b.toml", "name = \"b\"\nrun_as = \"app\"\nquery = \"select n from nowhere\"");
    let output = world.run_with(&["report", "add", text(&right), text(&wrong)], &as_operator).await;
    assert_gave_up(&output, 1, &["b.toml", "does not exist", "nowhere"], "hunter2");
    assert_eq!(world.count("select count(*) from exportbox.report").await, 0);
    world.file_of("b.toml", "name = \"b\"\nrun_as = \"app\"\nquery = \"select 2 as n\"");
    let output = world.run_with(&["report", "add", text(&right), text(&wrong)], &as_operator).await;
    let registered: Vec<String> = stdout(&output).lines().filter(|line| !line.starts_with(' ')).map(ToString::to_string).collect();
    assert_eq!(registered, ["a: registered version 1", "b: registered version 1"], "{}", stderr(&output));
    let twice = world.run_with(&["report", "add", text(&right), text(&right)], &as_operator).await;
    assert_gave_up(&twice, 2, &["a.toml", "too"], "hunter2");
}

/// A change to the file, exit code, words of the answer.
#[tokio::test]
async fn what_is_wrong_in_a_file_is_told_with_file_and_key() {
    let (world, url) = world_with_orders().await;
    world.sql("create table public.secret as select 1 as n, current_date as day").await;
    let as_operator = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    for (from, to, exit, words) in [
        ("max_rows", "maxrows", 2, vec!["maxrows", "line"]),
        ("run_as = \"app\"\n", "", 2, vec!["run_as"]),
        ("\"15m\"", "\"soon\"", 2, vec!["timeout", "15m"]),
        ("max_rows = 1_000", "max_rows = 0", 1, vec!["max_rows"]),
        ("type = \"date\"", "type = \"datum\"", 1, vec!["month", "type"]),
        ("min = 2020-01-01", "min = \"soon\"", 1, vec!["month", "soon"]),
        ("\"app\"\nquery", "\"nobody\"\nquery", 1, vec!["nobody"]),
        ("public.orders", "public.secret", 1, vec!["privilege", "secret"]),
        ("select n, day", "select n, dei", 1, vec!["column", "dei"]),
        ("select n, day from", "delete from public.orders returning n, day; select n, day from", 1, vec!["one valid SELECT"]),
        ("prefix", "source = \"replica\"\nprefix", 1, vec!["replica", "EXPORTBOX_SOURCES"]),
    ] {
        let changed = monthly().replacen(from, to, 1);
        assert_ne!(changed, monthly());
        let file = world.file_of("monthly.toml", &changed);
        let output = world.run_with(&["report", "add", text(&file)], &as_operator).await;
        let words: Vec<&str> = words.into_iter().chain(["monthly.toml"]).collect();
        assert_gave_up(&output, exit, &words, "hunter2");
    }
    assert_eq!(world.count("select count(*) from exportbox.report").await, 0);
    let missing = world.run_with(&["report", "add", "no-such.toml"], &as_operator).await;
    assert_gave_up(&missing, 2, &["no-such.toml"], "hunter2");
    // Who is no operator may not; who may not become the role cannot plan.
    let file = world.file_of("monthly.toml", &monthly());
    assert_eq!(code(&world.run_with(&["report", "add", text(&file)], &[("EXPORTBOX_DATABASE_URL", &world.app_url())]).await), 2);
}

#[tokio::test]
async fn a_test_shows_columns_plan_and_first_rows_and_exports_nothing() {
    let (world, url) = world_with_orders().await;
    let as_operator = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    let file = world.file_of("monthly.toml", &monthly());
    let test = ["report", "test", text(&file), "--param", "month=2026-01-10", "--rows", "2"];
    let human = world.run_with(&test, &as_operator).await;
    for word in ["columns  n int4, day date", "plan     cost", "Seq Scan on orders", "FIRST ROWS (2)", "9   2026-01-10"] {
        assert!(stdout(&human).contains(word), "{word} is missing: {}{}", stdout(&human), stderr(&human));
    }
    let machine = json(&world.run_with(&[&test[..], &["--json"]].concat(), &as_operator).await);
    assert_eq!(machine["first_rows"], json!([{"n": 9, "day": "2026-01-10"}, {"n": 10, "day": "2026-01-11"}]));
    assert_eq!(machine["columns"], json!([{"name": "n", "type": "int4"}, {"name": "day", "type": "date"}]));
    assert!(machine["cost"].as_f64().unwrap() > 0.0 && machine["params"] == json!({"month": "2026-01-10"}), "{machine}");
    assert_eq!(world.count("select count(*) from exportbox.report").await + world.count("select count(*) from exportbox.events").await, 0);

    let missing = world.run_with(&["report", "test", text(&file)], &as_operator).await;
    assert_gave_up(&missing, 1, &["needs parameter \"month\""], "hunter2");
    let wrong = world.run_with(&["report", "test", text(&file), "--param", "month=soon"], &as_operator).await;
    assert_gave_up(&wrong, 1, &["not a valid date"], "hunter2");
    assert_eq!(code(&world.run_with(&["report", "add", text(&file)], &as_operator).await), 0);
    let by_name = ["report", "test", "monthly-orders", "--param", "month=2026-01-10", "--rows", "0"];
    assert!(stdout(&world.run_with(&by_name, &as_operator).await).contains("about"));
    assert_eq!(world.requests_and_jobs().await, (0, 0));
    assert!(world.s3.objects("exports").await.unwrap().is_empty());
}
