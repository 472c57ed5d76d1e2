//! The statements of the cycle stay cheap beside a long history: each reads its index, and none reads a table from end to end.

use crate::harness::World;
use crate::harness::rows::JOBS;
use crate::harness::statements::{Call, call, claim, next_due, nodes, pages};

/// Parameters and SQL expressions for them.
type Values = &'static [(&'static str, &'static str)];

/// Statement, its parameters, and the indexes that it must read; `|` is or. Claims and naps have a call of their own.
const CYCLE: &[(&str, Values, &[&str])] = &[
    (
        "reap",
        &[("grace", "90000"), ("export_attempts", "5"), ("message_attempts", "8"), ("hold_unknown", "false")],
        &["job_running", "attempt_pkey"],
    ),
    ("expire", &[], &["job_expiring"]),
    (
        "heartbeat",
        &[
            ("jobs", "array['00000000-0000-7000-8000-000000200101', '00000000-0000-7000-8000-000000200102']::uuid[]"),
            ("tokens", "array[gen_random_uuid(), gen_random_uuid()]"),
            ("rows", "'{1,2}'"),
            ("bytes", "'{3,4}'"),
            ("lease", "90000"),
            ("worker", "'w'"),
        ],
        &["job_pkey", "attempt_pkey"],
    ),
    ("unswept", &[], &["attempt_unswept"]),
    ("gather_digest", &[("$1", "'{ops@example.com}'"), ("$2", "3600000")], &["job_dead"]),
    (
        "load_message",
        &[("$1", "'00000000-0000-7000-8000-000000000001'"), ("$2", "gen_random_uuid()")],
        &["job_pkey", "message_pkey", "message_export_pkey", "job_dead", "attempt_number"],
    ),
    ("figures", &[], &["job_due", "job_running", "job_dead"]),
    (
        "complete_exports",
        &[
            ("jobs", "array[gen_random_uuid()]"),
            ("tokens", "array[gen_random_uuid()]"),
            ("buckets", "'{b}'"),
            ("rows", "'{1}'"),
            ("content_types", "'{t}'"),
            ("filenames", "'{f}'"),
            ("as_of", "array[now()]"),
            ("part_tokens", "array[gen_random_uuid()]"),
            ("part_numbers", "'{1}'"),
            ("part_keys", "'{k}'"),
            ("part_bytes", "'{1}'"),
            ("part_checksums", "'{s}'"),
        ],
        &["job_pkey", "attempt_pkey"],
    ),
    (
        "complete_messages",
        &[
            ("jobs", "array[gen_random_uuid()]"),
            ("tokens", "array[gen_random_uuid()]"),
            ("providers", "'{ses}'"),
            ("message_ids", "'{m}'"),
            ("link_expires_at", "array[now()]"),
            ("link_cut_by", "'{null}'"),
        ],
        &["job_pkey", "attempt_pkey", "message_pkey"],
    ),
    (
        "retry",
        &[
            ("job", "gen_random_uuid()"),
            ("token", "gen_random_uuid()"),
            ("delay", "1000"),
            ("max_attempts", "5"),
            ("error_class", "'query'"),
            ("error", "'x'"),
            ("error_detail", "null"),
            ("maybe_sent", "false"),
        ],
        &["job_pkey", "attempt_pkey", "message_pkey"],
    ),
    (
        "record_backend",
        &[
            ("token", "gen_random_uuid()"),
            ("pid", "1"),
            ("xact_start", "now()"),
            ("exporter", "'copy'"),
            ("expected_rows", "7"),
            ("source", "'default'"),
        ],
        &["attempt_pkey"],
    ),
];

#[tokio::test]
async fn each_statement_of_the_cycle_reads_its_index_beside_a_hundred_thousand_finished_jobs() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.plant_history_of_jobs().await;
    // The daemon prepares once and runs often: the server may choose either.
    for mode in ["force_custom_plan", "force_generic_plan"] {
        world.sql(&format!("set plan_cache_mode = {mode}")).await;
        let mut cycle: Vec<(Call, &[&str])> = CYCLE.iter().map(|(name, values, indexes)| (call(name).with_all(values), *indexes)).collect();
        cycle.push((claim(), &["job_due", "job_pkey"]));
        cycle.push((next_due(), &["job_due", "job_running", "job_expiring", "attempt_unswept"]));
        for (statement, indexes) in cycle {
            let (name, plan) = (statement.name, statement.plan(&world.admin, "").await);
            let nodes = nodes(&plan["Plan"]);
            let text = serde_json::to_string_pretty(&plan).unwrap();
            for table in ["job", "attempt", "message", "event"] {
                let scans = nodes.iter().any(|node| node["Node Type"] == "Seq Scan" && node["Relation Name"] == table);
                assert!(!scans, "{name} reads all of {table} ({mode}):\n{text}");
            }
            for index in indexes {
                let read = nodes.iter().any(|node| index.split('|').any(|index| node["Index Name"] == index));
                assert!(read, "{name} does not read {index} ({mode}):\n{text}");
            }
        }
    }
}

#[tokio::test]
async fn a_claim_steps_over_no_job_that_waits_for_later() {
    let world = World::new().await;
    world.plant_jobs(100_000, "kind, priority, run_at", "'export', n % 10, now() + interval '1 day' + n * interval '1 s'").await;
    world.plant_analyzed_jobs(20, "kind, priority", "'export', 9").await;
    for mode in ["force_custom_plan", "force_generic_plan"] {
        world.sql(&format!("set plan_cache_mode = {mode}; begin")).await;
        let plan = claim().plan(&world.admin, ", analyze, buffers").await;
        let claimed = world.count("select count(*) from exportbox.jobs where state = 'running'").await;
        world.sql("rollback").await;
        assert_eq!(claimed, 4, "the four that are due, at the lowest priority");
        let nodes = nodes(&plan["Plan"]);
        let stepped_over: f64 = nodes.iter().filter_map(|node| node["Rows Removed by Filter"].as_f64()).sum();
        assert!(stepped_over < 20.0, "{stepped_over} rows read and thrown away ({mode})");
        // Twenty levels with a few index pages each, four jobs and their attempts; the whole table is some 2,000 pages.
        let pages = pages(&plan);
        assert!(pages < 400, "{pages} pages ({mode})");
    }
}

#[tokio::test]
async fn asking_for_the_next_due_instant_reads_a_few_pages_of_a_long_queue() {
    let world = World::new().await;
    let values = "'export', n % 10, now() + n * interval '1 s', now() + interval '10 days'";
    world.plant_analyzed_jobs(100_000, "kind, priority, run_at, not_after", values).await;
    let plan = next_due().plan(&world.admin, ", analyze, buffers").await;
    let pages = pages(&plan);
    assert!(pages < 200, "{pages} pages");
}

#[tokio::test]
async fn a_filter_reads_the_index_of_its_states_and_not_the_history() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.plant_history_of_jobs().await;
    let filter = "null, 'export', null, 'query', null, now() - interval '1 day', now()";
    for (states, indexes) in
        [("dead,cancelled", ["job_dead", "job_cancelled"]), ("pending,running", ["job_due|job_expiring", "job_running"])]
    {
        let query = format!("select named.id from exportbox.jobs_where('{{{states}}}', {filter}) as named limit 1000");
        let plan: serde_json::Value = world.row(&format!("explain (format json) {query}"), &[]).await.get(0);
        let nodes = nodes(&plan[0]["Plan"]);
        assert!(!nodes.iter().any(|node| node["Node Type"] == "Seq Scan" && node["Relation Name"] == "job"), "{states}: {plan:#}");
        for index in indexes {
            assert!(nodes.iter().any(|node| index.split('|').any(|index| node["Index Name"] == index)), "{index}: {plan:#}");
        }
    }
}

#[tokio::test]
async fn a_request_reads_no_history() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.plant_history_of_jobs().await;
    world.plant_requests().await;
    world.sql("select exportbox.register_report('by-day', 'select 1', '{\"day\": \"date\"}', 'app')").await;
    // In one transaction, whose own figures are there at once.
    world.sql("begin").await;
    let scans = "select coalesce(string_agg(relname || ' ' || seq_scan, ', ' order by relname), '') from pg_stat_xact_user_tables
        where schemaname = 'exportbox' and relname in ('job', 'outbox', 'attempt', 'message', 'event') and seq_scan > 0";
    // What was done before may not have been told yet.
    let before = world.text(scans).await;
    for rows in [1, 1000] {
        world
            .sql(&format!(
                "insert into exportbox.outbox (report, params, recipients)
                 select 'by-day', jsonb_build_object('day', date '2026-01-01' + n), array['ann@example.com'] from generate_series(1, {rows}) as n"
            ))
            .await;
    }
    assert_eq!(world.text(scans).await, before);
    let jobs = world.count(&format!("select count(*) from {JOBS} where report = 'by-day'")).await;
    world.sql("rollback").await;
    assert_eq!(jobs, 1001);
}

#[tokio::test]
async fn gathering_what_died_reads_no_history() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.plant_history_of_jobs().await;
    world.plant_requests().await;
    // As the daemon's own connections have it.
    world.sql("begin; set local enable_seqscan = off").await;
    let scans = "select coalesce(string_agg(relname || ' ' || seq_scan, ', ' order by relname), '') from pg_stat_xact_user_tables
        where schemaname = 'exportbox' and relname in ('job', 'outbox', 'message') and seq_scan > 0";
    let before = world.text(scans).await;
    assert!(world.count("select exportbox.gather_failures('10 minutes')::bigint").await > 0);
    assert_eq!(world.text(scans).await, before);
    world.sql("rollback").await;
}
