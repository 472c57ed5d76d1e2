//! Connections that are used again: for the same role's reports, clean, and never in the way of anything.

use std::time::Duration;

use exportbox::job::Backend;
use serde_json::json;
use uuid::Uuid;

use crate::harness::World;
use crate::harness::rows::ATTEMPTS;

const PID: &str = "select backend_pid from exportbox.attempts where export_id = $1 and kind = 'export'";

async fn exported(world: &World, report: &str) -> i32 {
    let id = world.request_report(report, json!({}), "").await;
    pid_of(world, id).await
}

async fn pid_of(world: &World, id: Uuid) -> i32 {
    world.until_state(id, "completed").await;
    assert_eq!(world.export(id).await["attempts"], 1);
    world.row(PID, &[&id]).await.get(0)
}

/// Sooner than those that nobody uses are closed for that.
async fn until_so_many_connections(world: &World, count: i64) {
    let counted = "select count(*) from pg_stat_activity where application_name like 'exportbox export%' and datname = current_database()";
    let condition = format!("({counted}) = {count}");
    tokio::time::timeout(Duration::from_secs(15), world.until(&condition)).await.expect("a new connection has made no room");
}

#[tokio::test]
async fn exports_of_one_role_go_over_one_connection_and_those_of_others_and_ad_hoc_ones_do_not() {
    let mut world = World::new().await;
    world.settings.work.slots = 1;
    drop(world.login("clerk", &[]).await);
    let clerk = format!("clerk_{}", world.database);
    world.sql(&format!("grant {clerk} to exportbox_daemon")).await;
    world.register("one", "select 1 as one", "").await;
    world.register("other", "select current_user as who", "").await;
    world.register_as("theirs", "select current_user as who", &clerk, "").await;
    let running = world.start().await;
    let first = exported(&world, "one").await;
    assert_eq!(exported(&world, "other").await, first, "the same role");
    let theirs = exported(&world, "theirs").await;
    assert_ne!(theirs, first, "another role");
    until_so_many_connections(&world, 1).await;
    let ad_hoc = pid_of(&world, world.request("select 1", &[]).await).await;
    assert_ne!(ad_hoc, theirs);
    assert_ne!(pid_of(&world, world.request("select 1", &[]).await).await, ad_hoc);
    running.stop().await;
}

#[tokio::test]
async fn an_export_finds_nothing_that_the_one_before_has_left_on_its_connection() {
    let mut world = World::new().await;
    world.settings.work.slots = 1;
    let leaves =
        "select pg_advisory_lock(4711)::text, set_config('exportbox.left', 'data', false), set_config('search_path', 'public', false)";
    world.register("leaves", leaves, "").await;
    let looks = "select (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
        coalesce(nullif(current_setting('exportbox.left', true), ''), '-') as left, current_setting('application_name') like '%export _%' as named";
    world.register("looks", looks, "").await;
    let running = world.start().await;
    let first = exported(&world, "leaves").await;
    let id = world.request_report("looks", json!({}), "").await;
    assert_eq!(pid_of(&world, id).await, first, "over the same connection");
    assert_eq!(world.stored(id).await, b"locks,left,named\n0,-,t\n");
    running.stop().await;
}

#[tokio::test]
async fn an_idle_connection_that_its_server_has_ended_costs_no_attempt() {
    let mut world = World::new().await;
    world.settings.work.slots = 1;
    world.register("one", "select 1 as one", "").await;
    let running = world.start().await;
    let first = exported(&world, "one").await;
    world.sql(&format!("select pg_terminate_backend({first})")).await;
    assert_ne!(exported(&world, "one").await, first);
    running.stop().await;
}

#[tokio::test]
async fn whoever_ends_a_lost_query_leaves_what_its_connection_serves_now() {
    let mut world = World::new().await;
    world.settings.work.slots = 1;
    world.register("one", "select 1 as one", "").await;
    world.register("gated", crate::harness::GATED, "").await;
    let running = world.start().await;
    let first = world.request_report("one", json!({}), "").await;
    let pid = pid_of(&world, first).await;
    let gate = world.gate().await;
    let second = world.request_report("gated", json!({}), "").await;
    world.until_at_gate(second).await;
    let lost = format!("select xact_start from {ATTEMPTS} where backend_pid = $1 order by started_at limit 1");
    let xact_start = world.row(&lost, &[&pid]).await.get(0);
    let source = exportbox::source::Source::new(world.settings.source.clone());
    assert_eq!(source.end_backend(Backend { pid, xact_start }).await, Ok(false), "that work is over");
    gate.open().await;
    assert_eq!(pid_of(&world, second).await, pid);
    running.stop().await;
}

#[tokio::test]
async fn reports_with_types_of_their_own_go_over_one_connection_one_after_the_other() {
    let mut world = World::new().await;
    world.settings.work.slots = 1;
    world.sql("create type public.light as enum ('red', 'green'); create type public.pair as (a int, b public.light); create domain public.few as int").await;
    world.register("enum", "select 'red'::public.light as light", "").await;
    world.register("composite", "select (1, 'green')::public.pair as pair, 2::public.few as few", "").await;
    let running = world.start().await;
    let first = exported(&world, "enum").await;
    assert_eq!(exported(&world, "composite").await, first);
    running.stop().await;
}

#[tokio::test]
async fn no_more_connections_are_open_than_there_are_slots() {
    let mut world = World::new().await;
    world.settings.work.slots = 2;
    world.register("gated", crate::harness::GATED, "").await;
    let gate = world.gate().await;
    let reports = [world.request_report("gated", json!({}), "").await, world.request_report("gated", json!({}), "").await];
    let running = world.start().await;
    world.until_so_many_at_gate(2).await;
    gate.open().await;
    for id in reports {
        world.until_state(id, "completed").await;
    }
    let gate = world.gate().await;
    world.request_many(2, crate::harness::GATED).await;
    world.until_so_many_at_gate(2).await;
    until_so_many_connections(&world, 2).await;
    gate.open().await;
    running.stop().await;
}
