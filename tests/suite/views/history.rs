//! No view reads a history from end to end to show what is alive, what is new, or what is asked for by its id.

use serde_json::Value;

use crate::harness::World;
use crate::harness::statements::{nodes, pages};

/// As autovacuum leaves it.
const VACUUM: &str =
    "vacuum analyze exportbox.outbox, exportbox.job, exportbox.attempt, exportbox.object, exportbox.message, exportbox.event";

/// Views and what is asked of them; `$id` is an export of the middle.
const ASKED: &[(&str, &[&str])] = &[
    (
        "exports",
        &[
            "where id = '$id'",
            "where id = any ('{$id}'::uuid[])",
            "order by id desc limit 20",
            "where state = 'pending' order by id desc limit 20",
            "where state = 'running'",
            "where state = 'delivering'",
            "where state in ('running', 'delivering') order by started_at",
            "where state = 'dead' order by id desc limit 20",
            "where state = 'cancelled' order by id desc limit 20",
            "where state = 'completed' order by id desc limit 20",
            "where state = 'completed' and id < '$id' order by id desc limit 20",
        ],
    ),
    (
        "jobs",
        &[
            "where id = '$id'",
            "where export_id = '$id'",
            "order by id desc limit 20",
            "where state = 'pending'",
            "where state = 'running' order by lease_expires_at",
            "where state = 'dead'",
            "where state = 'pending' and run_at > now() and attempt > 0",
        ],
    ),
    (
        "attempts",
        &["where job_id = '$id'", "where export_id = '$id' order by started_at", "where job_state = 'running' and finished_at is null"],
    ),
    (
        "deliveries",
        &["where export_id = '$id'", "where id = '$id'", "where job_state = 'pending'", "where job_state in ('dead', 'cancelled')"],
    ),
    ("objects", &["where export_id = '$id' order by part"]),
    ("events", &["where id = 77777", "where export_id = '$id' order by id", "order by id desc limit 20"]),
    ("health", &[""]),
];

const TABLES: [&str; 6] = ["job", "attempt", "event", "outbox", "object", "message"];

/// Run a query as a member of exportbox_reader; its plan, which names no table that it read from end to end.
async fn assert_reads_no_table(world: &World, query: &str) -> Value {
    let row = world.row(&format!("explain (analyze, buffers, format json) {query}"), &[]).await;
    let plan = row.get::<_, Value>(0)[0].take();
    for node in nodes(&plan["Plan"]) {
        let table = node["Relation Name"].as_str().unwrap_or_default();
        let scanned = node["Node Type"] == "Seq Scan" && node["Actual Loops"] != 0 && TABLES.contains(&table);
        assert!(!scanned, "{query} reads all of {table}:\n{}", serde_json::to_string_pretty(&plan).unwrap());
    }
    plan
}

#[tokio::test]
async fn no_view_reads_its_history_for_what_an_operator_asks_beside_a_hundred_thousand_finished_exports() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.plant_history_of_exports(100_000, 1000).await;
    world.sql(VACUUM).await;
    let id = world.text("select id::text from asked where n = 50000").await;
    world.sql("set role exportbox_reader").await;
    let heap = "select pg_relation_size('exportbox.job') / current_setting('block_size')::bigint";
    let pages_of_jobs = u64::try_from(world.count(heap).await).unwrap();
    for (view, questions) in ASKED {
        for question in *questions {
            let query = format!("select * from exportbox.{view} {}", question.replace("$id", &id));
            let plan = assert_reads_no_table(&world, &query).await;
            // Not by way of an index either: a sort of all rows would show here.
            let pages = pages(&plan);
            assert!(pages < pages_of_jobs, "{query} reads {pages} pages, the jobs are {pages_of_jobs}");
        }
    }
    for name in ["status_recent", "show_export", "show_attempts", "show_deliveries", "show_events", "show_objects", "health"] {
        let statement = crate::harness::statements::statement(name);
        assert_reads_no_table(&world, &statement.replace("$1::uuid", &format!("'{id}'::uuid")).replace("$1::bigint", "20")).await;
    }
}

#[tokio::test]
async fn newest_first_is_what_a_view_shows_and_each_state_is_found_under_its_name() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.plant_history_of_exports(2000, 20).await;
    let told = "select string_agg(state || ' ' || exports, ', ' order by state) from (select state, count(*) as exports from exportbox.exports group by state) as s";
    let planted = told.replace("exportbox.exports", "asked");
    let expected = world.text(&planted).await;
    assert_eq!(expected.split(", ").count(), 6, "{expected}");
    assert_eq!(world.text(told).await, expected);
    for state in ["pending", "running", "delivering", "completed", "dead", "cancelled"] {
        let agree = format!(
            "select (select array_agg(id order by id) from exportbox.exports where state = '{state}') = (select array_agg(id order by id) from asked where state = '{state}')"
        );
        assert!(world.row(&agree, &[]).await.get::<_, bool>(0), "{state}");
    }
    let newest = "(select array_agg(id) from (select id from exportbox.exports limit 50) as e) = (select array_agg(id) from (select id from asked order by n desc limit 50) as a)";
    world.until(newest).await;
}
