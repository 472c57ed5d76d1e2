//! What a drain promises: it starts nothing that its time is too short for, ends lost leases whatever its budget, asks little when there is
//! nothing to do, and shares the work with others that start in the same second.

use std::collections::BTreeMap;

use exportbox::queue::FreeSlots;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::connections::asked;
use crate::harness::log::Logged;
use crate::harness::process::{code, json as said, signal, stderr};
use crate::harness::{World, history};

/// The summary of a drain, which must tell its exit code.
fn numbers(summary: &Value, names: &[&str]) -> Vec<i64> {
    names.iter().map(|name| summary[name].as_i64().unwrap_or_else(|| panic!("no {name}: {summary}"))).collect()
}

#[tokio::test]
async fn an_export_that_usually_takes_longer_than_what_is_left_is_not_started() {
    let world = World::new().await;
    for report in ["slow", "quick", "new"] {
        world.row("select exportbox.register_report($1, 'select 1 as one', run_as => 'app')", &[&report]).await;
    }
    for report in ["slow", "slow", "quick"] {
        world.request_report(report, json!({}), "").await;
    }
    world.drain().await;
    // Both of slow have taken ten minutes.
    let of_slow = "export_id in (select id from exportbox.exports where report = 'slow')";
    world.set_attempts("started_at = finished_at - interval '10 minutes'", of_slow).await;
    let slow = world.request_report("slow", json!({}), ", recipients => '{ann@example.com}'").await;
    for report in ["quick", "new"] {
        world.request_report(report, json!({}), "").await;
    }
    world.request("select 1 as one", &[]).await;
    let summary = world.drained(&["--max-runtime", "5m"], &[]).await;
    let counts = ["exit_code", "exported", "due", "too_long", "waiting", "paused", "dead"];
    assert_eq!(numbers(&summary, &counts), [10, 3, 1, 1, 0, 0, 0], "{summary}");
    let told = "select reason || ' ' || sentence from exportbox.explain($1) where kind = 'export'";
    let told: String = world.row(told, &[&slow]).await.get(0);
    assert!(told.starts_with("budget_too_short Its report usually takes up to 00:10:00, longer than the 00:0"), "{told}");
    let summary = world.drained(&["--max-runtime", "15m"], &[]).await;
    assert_eq!(numbers(&summary, &counts), [0, 1, 0, 0, 0, 0, 0], "{summary}");
    assert_eq!((world.state(slow).await.as_str(), &summary["mailed"]), ("completed", &1.into()), "mails have no such limit");
}

#[tokio::test]
async fn a_drain_without_time_to_work_ends_lost_leases_all_the_same() {
    let world = World::new().await;
    world.claimed("gone", &[]).await;
    world.let_leases_lapse().await;
    world.request("select 1", &[]).await;
    let summary = world.drained(&["--max-runtime", "1ns"], &[]).await;
    assert_eq!(numbers(&summary, &["exit_code", "reaped", "claimed", "due", "waiting"]), [10, 1, 0, 1, 1], "{summary}");
}

#[tokio::test]
async fn an_empty_drain_asks_four_statements_and_each_once_without_a_name() {
    let world = World::with_talkative_server().await;
    let output = world.run(&["drain", "--json"]).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let log = world.server_log();
    let asked: Vec<&str> = asked(&log).map(|line| line.split_once("execute <unnamed>: -- name: ").map_or(line, |(_, name)| name)).collect();
    assert_eq!(asked, ["schema_versions", "connections", "next_due", "drained"]);
    assert_eq!(world.text("select ended from exportbox.last_drain").await, "drained");
}

#[tokio::test]
async fn a_drain_finds_whatever_is_due_and_says_that_nothing_else_is() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let queue = world.queue("looks");
    let room = FreeSlots { exports: 4, messages: 8 };
    let job = |values: &str| history::job(Uuid::new_v4(), "kind, run_at, not_after", values);
    let running = |values: &str| {
        let columns = "kind, state, lease_token, worker, lease_expires_at, deadline_at";
        history::job(Uuid::new_v4(), columns, &format!("'export', 'running', gen_random_uuid(), 'w', {values}"))
    };
    let lost = |sweep_after: &str| {
        let id = Uuid::new_v4();
        let columns = "worker, finished_at, outcome, bucket, object_key, sweep_after";
        history::job(id, "kind, state, finished_at", "'export', 'completed', now()")
            + &history::attempt(id, columns, &format!("'w', now(), 'reaped', 'exports', 'key', {sweep_after}"))
    };
    let schedule = |next_due_at: &str| {
        format!(
            "insert into exportbox.schedule (name, cron, time_zone, requester, report, next_due_at) values ('s', '0 6 * * *', 'UTC', 'app', 'r', {next_due_at})"
        )
    };
    let chore = |due_at: &str| format!("update exportbox.chore set due_at = {due_at}");
    let later = "now() + interval '1 hour'";
    // Now, and the same not yet.
    let cases: [(&str, String, String); 9] = [
        ("an export", job("'export', now(), null"), job(&format!("'export', {later}, null"))),
        ("a mail", job("'message', now(), null"), job(&format!("'message', {later}, null"))),
        ("what is too late", job(&format!("'export', {later}, now()")), job(&format!("'export', {later}, now() + interval '2 hours'"))),
        ("a lost lease", running(&format!("now(), {later}")), running(&format!("{later}, {later}"))),
        ("an overrun", running(&format!("{later}, now() - interval '2 hours'")), running(&format!("{later}, now()"))),
        ("a probe", history::hold("export", "now()"), history::hold("export", later)),
        ("a schedule", schedule("now()"), schedule(later)),
        ("something to sweep", lost("now()"), lost(later)),
        ("a chore", chore("now()"), chore(later)),
    ];
    for (what, due, not_yet) in cases {
        for (sql, is_quiet) in [(due, false), (not_yet, true)] {
            world.plant_rows(&sql).await;
            assert_eq!(queue.next_due(room, None).await.unwrap().is_quiet(), is_quiet, "{what}: {sql}");
            world.plant_rows(&format!("{}; {}", history::NOTHING, chore(later))).await;
        }
    }
}

#[tokio::test]
async fn a_drain_with_nothing_else_to_do_sweeps_and_does_the_chores() {
    let world = World::new().await;
    world.sql("update exportbox.chore set due_at = now() where name = 'prune'").await;
    world.drained(&[], &[]).await;
    assert_eq!(world.count("select count(*) from exportbox.chore where worker is not null and due_at > now()").await, 1);
}

#[tokio::test]
async fn ten_drains_that_start_at_once_do_each_job_once_and_all_end_well() {
    let world = World::new().await;
    let insert =
        "insert into exportbox.outbox (query, recipients) select 'select ' || n, '{ann@example.com}' from generate_series(1, 60) as n";
    world.app().await.batch_execute(insert).await.unwrap();
    let drains: Vec<_> = (0..10).map(|_| world.spawn(&["drain", "--json", "--start-delay", "50ms"])).collect();
    let mut totals: BTreeMap<String, i64> = BTreeMap::new();
    for drain in drains {
        let output = drain.wait_with_output().await.unwrap();
        let summary = said(&output);
        assert_eq!((code(&output), &summary["exit_code"]), (0, &json!(0)), "{summary} {}", stderr(&output));
        for (name, value) in summary.as_object().unwrap() {
            *totals.entry(name.clone()).or_default() += value.as_i64().unwrap_or_default();
        }
    }
    let counts = ["claimed", "exported", "mailed", "retried", "dead", "reaped", "lease_lost"].map(|name| totals[name]);
    assert_eq!(counts, [120, 60, 60, 0, 0, 0, 0], "{totals:?}");
    assert_eq!(world.mails().len(), 60);
    assert_eq!(world.count("select count(*) from exportbox.attempts").await, 120);
}

#[tokio::test]
async fn a_drain_waits_before_it_starts_and_a_stop_ends_the_wait() {
    let world = World::new().await;
    world.request("select 1", &[]).await;
    let mut waiting = Logged::read(world.spawn(&["drain", "--json", "--start-delay", "1000h"]));
    waiting.until_said("waiting before it starts").await;
    // Another one comes and goes meanwhile, and finds all the work.
    assert_eq!(world.drained(&[], &[]).await["exported"], 1);
    assert!(waiting.child.try_wait().unwrap().is_none(), "it did not wait");
    world.request("select 1", &[]).await;
    signal(&waiting.child, "TERM").await;
    let output = waiting.child.wait_with_output().await.unwrap();
    let summary = said(&output);
    assert_eq!((code(&output), numbers(&summary, &["exit_code", "claimed", "due"])), (10, vec![10, 0, 1]), "{summary}");
}

#[tokio::test]
async fn what_a_report_usually_takes_is_read_from_a_few_pages_of_a_long_history() {
    let world = World::new().await;
    world.plant_history_of_reports(50_000).await;
    world.vacuum("analyze").await;
    assert_eq!(world.text("select exportbox.expected_time('near')::text").await, "00:03:00", "of the last twenty");
    assert_eq!(world.text("select exportbox.expected_time('new')::text").await, "");
    let explain = "explain (analyze, buffers, format json) select exportbox.expected_time('near')";
    let plan: Value = world.row(explain, &[]).await.get::<_, Value>(0)[0].take();
    let pages = crate::harness::statements::pages(&plan);
    assert!((20..200).contains(&pages), "{pages} pages: {plan:#}");
}
