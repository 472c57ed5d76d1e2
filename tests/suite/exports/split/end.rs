//! The end of it: whatever happens to one backend happens to all, and nothing is left.

use super::{GATE, world};
use crate::harness::World;
use crate::harness::process::{code, signal, stderr};

const ITEMS: &str = "select id, filler from item order by id";

/// Two or more backends, one of them before the gate.
async fn gated(world: &World) {
    world.split_report("gated", &format!("select id, filler, {GATE} from item order by id"), "id", "").await;
}

/// So that a process of its own, with a program's own limits, takes the table for a large one.
async fn seem_large(world: &World) {
    world
        .sql("alter table public.item set (autovacuum_enabled = off); update pg_class set reltuples = 1000000 where relname = 'item'")
        .await;
}

#[tokio::test]
async fn cancelling_ends_every_backend_and_leaves_nothing() {
    let world = world().await;
    gated(&world).await;
    let gate = world.gate().await;
    let id = world.request_split("gated", "").await;
    let running = world.start().await;
    world.until_at_gate(id).await;
    assert_eq!(world.backends_of(id).await, 3);
    world.cancel(id).await;
    world.until_query_is_gone(id).await;
    world.until_state(id, "cancelled").await;
    gate.open().await;
    assert_eq!(running.stop().await.cancelled, 1);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn a_slice_that_fails_fails_the_export_and_leaves_no_object_and_no_backend() {
    let world = world().await;
    world.split_report("failing", "select id, filler, 1 / (id - 4711) as zero from item order by id", "id", "").await;
    let id = world.request_split("failing", "").await;
    world.drain().await;
    let (class, sentence) = world.death(id).await;
    assert_eq!(class, "query", "{sentence}");
    assert!(sentence.starts_with("The query divides by zero"), "{sentence}");
    assert_eq!((world.backends_had(id).await, world.backends_of(id).await), (3, 0));
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn a_backend_that_is_ended_by_somebody_fails_the_attempt_and_the_next_one_makes_the_file() {
    let world = world().await;
    gated(&world).await;
    let gate = world.gate().await;
    let id = world.request_split("gated", "").await;
    let running = world.start().await;
    world.until_at_gate(id).await;
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = $1 and wait_event = 'advisory'";
    let ended: i64 = world.row(end, &[&format!("exportbox export {id}")]).await.get(0);
    assert_eq!(ended, 1);
    world.until_query_is_gone(id).await;
    gate.open().await;
    world.until("select state = 'pending' from exportbox.jobs").await;
    running.stop().await;
    world.let_back_offs_end().await;
    world.complete(&[id]).await;
    assert_eq!(world.outcomes(id).await, "released, completed");
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn whoever_reaps_a_worker_that_hangs_ends_all_its_backends() {
    let world = world().await;
    gated(&world).await;
    seem_large(&world).await;
    let gate = world.gate().await;
    let id = world.request_split("gated", "").await;
    let mut process = world.program(&["run", "--slots", "1"]).env("EXPORTBOX_SPLIT", "3").spawn().unwrap();
    world.until_at_gate(id).await;
    assert_eq!(world.backends_of(id).await, 3);
    signal(&process, "STOP").await;
    world.let_leases_lapse().await;
    let running = world.start().await;
    world.until_query_is_gone(id).await;
    assert_eq!(running.stop().await.reaped, 1);
    process.kill().await.unwrap();
    gate.open().await;
    world.let_back_offs_end().await;
    world.complete(&[id]).await;
    world.assert_nothing_is_left_behind(id).await;
}

#[tokio::test]
async fn a_crash_in_the_midst_of_it_leaves_nothing_and_another_process_makes_the_file() {
    let world = world().await;
    seem_large(&world).await;
    let query = "select id, repeat(filler, 20) as filler from item order by id";
    world.split_report("items", query, "id", "").await;
    let id = world.request_split("items", "").await;
    world.crash("export.stored_part=return", &[]).await;
    assert_eq!((world.backends_had(id).await, world.left_in_the_store().await), (2, (1, 0)));
    world.converge(id, &[]).await;
    assert_eq!((world.outcomes(id).await.as_str(), world.backends_had(id).await), ("reaped, completed", 2));
    assert!(world.stored(id).await == world.copy(query, "format csv, header true").await);
    world.assert_nothing_is_left_behind(id).await;
}

#[tokio::test]
async fn ceilings_are_those_of_the_whole_file() {
    let mut world = world().await;
    world.settings.work.slots = 1;
    let bytes = world.copy(ITEMS, "format csv, header true").await.len();
    for (name, allowed) in [("rows", 5020), ("bytes", bytes)] {
        world.split_report(&format!("enough_{name}"), ITEMS, "id", &format!(", max_{name} => {allowed}")).await;
        world.split_report(&format!("few_{name}"), ITEMS, "id", &format!(", max_{name} => {}", allowed - 1)).await;
        let (enough, few) =
            (world.request_split(&format!("enough_{name}"), "").await, world.request_split(&format!("few_{name}"), "").await);
        world.drain().await;
        assert_eq!((world.state(enough).await.as_str(), world.backends_had(enough).await), ("completed", 3));
        let (class, sentence) = world.death(few).await;
        assert_eq!(class, "too_large");
        assert!(sentence.contains(&format!("{} {name}", allowed - 1)), "{sentence}");
    }
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn without_connections_for_all_there_are_fewer_backends_and_the_same_file() {
    let mut world = world().await;
    world.settings.work.slots = 1;
    world.split_report("items", ITEMS, "id", "").await;
    let expected = world.copy(ITEMS, "format csv, header true").await;
    for (more, backends) in [(2, 1), (3, 2)] {
        let id = world.request_split("items", "").await;
        world
            .until("select count(*) = 2 from pg_stat_activity where datname = current_database() and backend_type = 'client backend'")
            .await;
        world.sql(&format!("alter database {} connection limit {}", world.database, 2 + more)).await;
        world.drain().await;
        world.sql(&format!("alter database {} connection limit -1", world.database)).await;
        assert_eq!((world.state(id).await.as_str(), world.backends_had(id).await), ("completed", backends));
        assert!(world.stored(id).await == expected);
    }
}

#[tokio::test]
async fn exports_share_the_backends_that_help_them() {
    let mut world = world().await;
    world.settings.work.slots = 2;
    gated(&world).await;
    let gate = world.gate().await;
    let ids = [world.request_split("gated", "").await, world.request_split("gated", "").await];
    let running = world.start().await;
    for id in ids {
        world.until_at_gate(id).await;
    }
    assert_eq!(world.backends_of(ids[0]).await + world.backends_of(ids[1]).await, 2 + 2);
    gate.open().await;
    for id in ids {
        world.until_state(id, "completed").await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    let output = world.run_with(&["drain"], &[("EXPORTBOX_SPLIT", "0")]).await;
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("EXPORTBOX_SPLIT must be 1 to 16"), "{}", stderr(&output));
}
