//! Long snapshots: what jobs leave behind cannot be removed while one is open, and claiming costs the same all the same.

use std::time::Duration;

use exportbox::queue::{FreeSlots, Lease, Scan};

use crate::harness::World;
use crate::harness::process::stdout;
use crate::harness::rows::lock_holds;
use crate::harness::statements::{Call, call, claim, nodes};

/// A claim of four that begins after all that was claimed so far, as one of the process that claimed it.
async fn claim_after(world: &World) -> Call {
    let last = |of: &str| {
        format!(
            "select format('array_fill(%L::{of}, array[20])', max({})) from exportbox.jobs",
            if of == "uuid" { "id::text" } else { "run_at" }
        )
    };
    let (run_at, id) = (world.text(&last("timestamptz")).await, world.text(&last("uuid")).await);
    claim().with("after_run_at", run_at).with("after_id", id)
}

/// A heartbeat of one lease.
fn beat(lease: &Lease) -> Call {
    let [job, token] = [lease.job_id().to_string(), lease.token().to_string()].map(|id| format!("array['{id}']::uuid[]"));
    call("heartbeat").with("jobs", job).with("tokens", token).with_all(&[
        ("rows", "'{0}'"),
        ("bytes", "'{0}'"),
        ("lease", "90000"),
        ("worker", "'one'"),
    ])
}

#[tokio::test]
async fn claiming_stays_on_its_index_and_reads_the_same_few_pages_under_an_old_snapshot() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let queue = world.queue("one");
    world.churn(&queue, 4, 500).await;
    world.vacuum("analyze").await;
    let fresh_claim = claim_after(&world).await;
    world.plant_due(8).await;
    let fresh = fresh_claim.pages(&world.admin).await;
    world.churn(&queue, 1, 1).await;

    let reader = world.old_snapshot().await;
    world.churn(&queue, 40, 500).await;
    world.let_transactions_pass(20_000).await;
    world.vacuum("").await;
    let aged_claim = claim_after(&world).await;
    world.plant_due(8).await;
    let aged = aged_claim.pages(&world.admin).await;
    let aged_from_start = claim().pages(&world.admin).await;
    assert!(aged <= fresh * 5 / 4 + 10, "{fresh} pages without a snapshot, {aged} with one");
    assert!(aged_from_start > aged * 4, "the snapshot holds nothing back, so this test proves nothing: {aged_from_start}");
    for mode in ["force_custom_plan", "force_generic_plan"] {
        world.sql(&format!("set plan_cache_mode = {mode}")).await;
        let plan = aged_claim.plan(&world.admin, "").await;
        let nodes = nodes(&plan["Plan"]);
        let on_index = nodes.iter().any(|node| {
            node["Index Name"] == "job_due" && node["Index Cond"].as_str().is_some_and(|cond| cond.contains("ROW(run_at, id) >"))
        });
        assert!(on_index, "the mark is no condition of the index ({mode}): {plan:#}");
        assert!(!nodes.iter().any(|node| node["Node Type"] == "Seq Scan" && node["Relation Name"] == "job"), "{plan:#}");
    }
    reader.batch_execute("rollback").await.unwrap();
}

#[tokio::test]
async fn what_a_running_job_costs_stays_flat_under_an_old_snapshot() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let queue = world.queue("one");
    world.churn(&queue, 2, 500).await;
    let figures = async || {
        world.plant_due(1).await;
        let lease = queue.cycle(FreeSlots { exports: 1, messages: 0 }, Scan::FromCursor).await.unwrap().leases.pop().unwrap();
        let heartbeat = beat(&lease).with("rows", "'{1}'").with("bytes", "'{2}'").pages(&world.admin).await;
        let retry = call("retry").with("job", format!("'{}'", lease.job_id())).with("token", format!("'{}'", lease.token())).with_all(&[
            ("delay", "1000"),
            ("max_attempts", "5"),
            ("error_class", "'query'"),
            ("error", "'x'"),
            ("error_detail", "null"),
            ("maybe_sent", "false"),
        ]);
        let retry = retry.pages(&world.admin).await;
        queue.settle(lease, exportbox::job::StopReason::Cancelled.into()).await.unwrap();
        (heartbeat, retry)
    };
    world.vacuum("analyze").await;
    let fresh = figures().await;
    let reader = world.old_snapshot().await;
    world.churn(&queue, 20, 500).await;
    let aged = figures().await;
    assert!(aged.0 <= fresh.0 * 5 / 4 + 10 && aged.1 <= fresh.1 * 5 / 4 + 10, "{fresh:?} fresh, {aged:?} aged");
    reader.batch_execute("rollback").await.unwrap();
}

#[tokio::test]
async fn heartbeats_make_no_index_entries_although_a_snapshot_keeps_all_their_versions() {
    let world = World::new().await;
    let lease = world.claimed("one", &[]).await;
    let reader = world.old_snapshot().await;
    world.sql("begin").await;
    // Two hours of them.
    beat(&lease).run_often(&world.admin, 480).await;
    let ratio = "select 100 * pg_stat_get_xact_tuples_hot_updated('exportbox.job'::regclass)
        / pg_stat_get_xact_tuples_updated('exportbox.job'::regclass)";
    let hot = world.count(ratio).await;
    world.sql("commit").await;
    let pages = beat(&lease).pages(&world.admin).await;
    assert!(hot >= 90, "{hot} % of the heartbeats are HOT");
    assert!(pages < 100, "{pages} pages");
    reader.batch_execute("rollback").await.unwrap();
    world.queue("one").settle(lease, exportbox::job::StopReason::Shutdown.into()).await.unwrap();
}

#[tokio::test]
async fn a_request_finds_a_sleeper_in_a_few_pages_although_a_snapshot_keeps_every_nap() {
    let world = World::new().await;
    world
        .sql("insert into exportbox.worker (id, channel, version, slots, listener_pid) values ('one', 'c', '1', 4, pg_backend_pid())")
        .await;
    let wait = call("wait").with("worker", "'one'").with("nap", 1000).with("mark", 2000);
    let naps = async || (call("wake").pages(&world.admin).await, wait.pages(&world.admin).await);
    // The first reads the catalogue, too.
    naps().await;
    let fresh = naps().await;
    let reader = world.old_snapshot().await;
    for _ in 0..1000 {
        wait.run(&world.admin).await;
        call("awake").with("$1", "'one'").run(&world.admin).await;
    }
    let aged = naps().await;
    assert!(aged.0 <= fresh.0 + 60 && aged.1 <= fresh.1 + 60, "{fresh:?} fresh, {aged:?} after a thousand naps");
    reader.batch_execute("rollback").await.unwrap();
}

#[tokio::test]
async fn what_came_to_lie_behind_the_last_look_is_found_by_the_next_thorough_one() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let queue = world.queue("one");
    let room = FreeSlots { exports: 4, messages: 4 };
    // A thorough look that takes long: the next is due after twenty times as long.
    let locker = world.superuser().await;
    lock_holds(&locker).await;
    let first = tokio::spawn({
        let queue = queue.clone();
        async move { queue.cycle(room, Scan::FromCursor).await.unwrap() }
    });
    world
        .until(
            "exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
            and application_name = 'exportbox one' and clock_timestamp() - query_start > interval '500 ms')",
        )
        .await;
    locker.batch_execute("commit").await.unwrap();
    assert_eq!(first.await.unwrap().full_scan_in, None);

    let straggler = world.request_with("select 1", &[], "run_at => now() - interval '1 hour'").await;
    let fresh = world.request("select 1", &[]).await;
    let cycle = queue.cycle(room, Scan::FromCursor).await.unwrap();
    assert_eq!(cycle.leases.iter().map(|lease| lease.export_id().unwrap()).collect::<Vec<_>>(), [fresh]);
    assert!(cycle.full_scan_in.is_some_and(|soon| soon > Duration::ZERO), "and the worker knows when to look again");
    let cycle = queue.cycle(room, Scan::Full).await.unwrap();
    assert_eq!(cycle.leases.iter().map(|lease| lease.export_id().unwrap()).collect::<Vec<_>>(), [straggler]);
    assert_eq!(cycle.full_scan_in, None);
}

#[tokio::test]
async fn health_names_who_holds_the_oldest_snapshot_and_for_how_many_transactions() {
    let world = World::new().await;
    let look =
        "select concat_ws('|', snapshot_transactions >= 5000, snapshot_holder, snapshot_age is null, snapshot_alarm) from exportbox.health";
    let reader = world.old_snapshot().await;
    world.let_transactions_pass(5000).await;
    let pid: i32 = reader.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let holder = format!("an old reader (pid {pid})");
    assert_eq!(world.text(look).await, format!("t|{holder}|f"));
    let alarm = world.text("select alarm from exportbox.oldest_snapshot(5000)").await;
    assert!(alarm.contains(&format!("{holder} holds an old snapshot. End it")), "{alarm}");
    assert_eq!(world.text("select alarm from exportbox.oldest_snapshot(1000000)").await, "");
    let by_age = "select alarm from exportbox.oldest_snapshot(1000000, interval '1 microsecond')";
    assert!(world.text(by_age).await.contains("holds an old snapshot"));

    // Monitoring without any right to see other sessions sees as much, because the view asks as its owner.
    let monitoring = world.login("monitoring", &["exportbox_reader"]).await;
    let seen: String = monitoring.query_one(look, &[]).await.unwrap().get(0);
    assert_eq!(seen, format!("t|{holder}|f"));
    for command in ["health", "status"] {
        let said = stdout(&world.run(&[command]).await);
        assert!(said.contains("oldest snapshot: open for") && said.contains(&holder), "{said}");
    }
    reader.batch_execute("rollback").await.unwrap();
    let (gate, export) = (world.gate().await, world.request(crate::harness::GATED, &[]).await);
    let running = world.start().await;
    world.until_at_gate(export).await;
    world.until(&format!("(select snapshot_holder from exportbox.health) like 'export {export} (pid %)'")).await;
    gate.open().await;
    world.until_state(export, "completed").await;
    running.stop().await;
}

#[tokio::test]
async fn an_owner_without_the_right_to_see_other_sessions_says_that_the_age_is_unknown() {
    let world = World::new().await;
    let owner = format!("plain_{}", world.database);
    world.sql(&format!("create role {owner}; alter function exportbox.oldest_snapshot(bigint, interval) owner to {owner}")).await;
    let reader = world.old_snapshot().await;
    world.let_transactions_pass(1000).await;
    let look = "select concat_ws('|', snapshot_transactions >= 1000, snapshot_holder like 'an old reader%', snapshot_age is null) from exportbox.health";
    assert_eq!(world.text(look).await, "t|t|t");
    let said = stdout(&world.run(&["health"]).await);
    assert!(said.contains("open for an unknown time"), "{said}");
    reader.batch_execute("rollback").await.unwrap();
}
