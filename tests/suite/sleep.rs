//! Sleeping: an idle worker asks nothing, and whatever becomes due wakes one that can take it. All polls here are far longer than a test.

use std::time::Duration;

use exportbox::queue::{Listener, Queue, WaitState};

use crate::harness::rows::WORKERS;
use crate::harness::{GATED, World};

/// No test waits that long: what is done in time was woken.
const POLL: Duration = Duration::from_secs(600);
const REQUEST: &str = "insert into exportbox.outbox (query) values ('select 1 as one')";

async fn sleepy() -> World {
    let mut world = World::new().await;
    world.settings.work.poll = POLL;
    world
}

/// A worker that listens and does nothing.
async fn listening(world: &World, name: &str) -> (Queue, Listener) {
    let queue = world.queue(name);
    let listener = queue.listen(&world.settings.database, 1);
    // Once it hears: look.
    listener.wake.notified().await;
    (queue, listener)
}

/// Whether these were woken. What was committed before is heard before what is sent to everybody now.
async fn woken(world: &World, listeners: &[&Listener]) -> Vec<bool> {
    world.notify("cancel").await;
    let mut woken = Vec::new();
    for listener in listeners {
        tokio::time::timeout(Duration::from_secs(20), listener.cancel.notified()).await.unwrap();
        woken.push(tokio::time::timeout(Duration::ZERO, listener.wake.notified()).await.is_ok());
    }
    woken
}

#[tokio::test]
async fn an_idle_worker_asks_nothing_while_others_work() {
    let world = sleepy().await;
    let running = world.start().await;
    world.until_asleep(&running.worker).await;
    let app = world.app().await;
    for _ in 0..50 {
        app.batch_execute("begin; create temporary table t (id int) on commit drop; commit").await.unwrap();
    }
    // Comes true only if not one statement was run for longer than the worker's longest back-off.
    tokio::time::timeout(Duration::from_secs(10), world.until_silent(&running.worker, "2 seconds")).await.expect("it polls");
    running.stop().await;
}

#[tokio::test]
async fn an_idle_worker_asks_one_statement_for_each_nap_and_stays_marked() {
    let mut world = World::with_talkative_server().await;
    world.settings.work.poll = Duration::from_millis(200);
    let running = [world.start().await, world.start().await, world.start().await];
    for one in &running {
        world.until(&format!("select waiting_until > now() from {WORKERS} where id = '{}'", one.worker)).await;
    }
    // One mark lasts for less than ten of these naps.
    for one in &running {
        world.until_it_asks_only(&one.worker, "next_due", 10).await;
    }
    assert_eq!(world.asleep().await, 3);
    for one in running {
        one.stop().await;
    }
}

#[tokio::test]
async fn an_idle_worker_does_a_chore_once_it_is_due() {
    let mut world = World::new().await;
    world.settings.work.poll = Duration::from_millis(100);
    let running = world.start().await;
    world.until(&format!("select waiting_until > now() from {WORKERS}")).await;
    world.sql("update exportbox.chore set due_at = now() where name = 'prune'").await;
    world.until("select worker is not null and due_at > now() from exportbox.chore where name = 'prune'").await;
    running.stop().await;
}

#[tokio::test]
async fn an_insert_wakes_a_sleeping_worker() {
    let world = sleepy().await;
    let running = world.start().await;
    for _ in 0..3 {
        world.until_asleep(&running.worker).await;
        let id = world.request("select 1 as one", &["ann@example.com"]).await;
        world.until_state(id, "completed").await;
    }
    let tally = running.stop().await;
    assert_eq!((tally.exported, tally.mailed), (3, 3));
}

#[tokio::test]
async fn a_request_that_was_inserted_before_the_worker_slept_and_committed_after_is_found() {
    let world = sleepy().await;
    let app = world.app().await;
    app.batch_execute(&format!("begin; {REQUEST}")).await.unwrap();
    let running = world.start().await;
    world.until_asleep(&running.worker).await;
    app.batch_execute("commit").await.unwrap();
    world.until("select state = 'completed' from exportbox.jobs").await;
    world.until_silent(&running.worker, "2 seconds").await;
    running.stop().await;
}

#[tokio::test]
async fn a_request_that_was_rolled_back_wakes_nobody() {
    let world = sleepy().await;
    let (queue, listener) = listening(&world, "one").await;
    assert_eq!(queue.wait(POLL).await, Ok(WaitState::FromNow));
    world.app().await.batch_execute(&format!("begin; {REQUEST}; rollback")).await.unwrap();
    assert_eq!(woken(&world, &[&listener]).await, [false]);
}

#[tokio::test]
async fn a_request_for_later_is_started_at_its_instant() {
    let world = sleepy().await;
    let running = world.start().await;
    world.until_asleep(&running.worker).await;
    let id = world.request_with("select 1 as one", &[], "run_at => now() + interval '1 second'").await;
    world.until_state(id, "completed").await;
    let late = "select started_at >= run_at and started_at < run_at + interval '5 seconds' from exportbox.jobs";
    assert!(world.row(late, &[]).await.get::<_, bool>(0));
    running.stop().await;
}

#[tokio::test]
async fn a_snapshot_from_before_the_worker_slept_wakes_it_all_the_same() {
    let world = sleepy().await;
    let (queue, listener) = listening(&world, "one").await;
    let app = world.app().await;
    app.batch_execute("begin isolation level repeatable read; select 1").await.unwrap();
    assert_eq!(queue.wait(POLL).await, Ok(WaitState::FromNow));
    assert!(queue.requests_in_flight().await.unwrap().is_empty(), "it cannot be seen coming");
    app.batch_execute(&format!("{REQUEST}; commit")).await.unwrap();
    assert_eq!(woken(&world, &[&listener]).await, [true]);
}

#[tokio::test]
async fn one_insert_wakes_one_of_those_that_sleep() {
    let world = sleepy().await;
    let (first, hears_first) = listening(&world, "first").await;
    let (second, hears_second) = listening(&world, "second").await;
    for queue in [&first, &second] {
        assert_eq!(queue.wait(POLL).await, Ok(WaitState::FromNow));
    }
    world.request_many(20, "select 1").await;
    let woken_by_one = woken(&world, &[&hears_first, &hears_second]).await;
    assert_eq!(woken_by_one.iter().filter(|woken| **woken).count(), 1);
}

#[tokio::test]
async fn an_insert_pays_no_notify_when_nobody_sleeps() {
    let world = sleepy().await;
    let (queue, listener) = listening(&world, "one").await;
    world.request("select 1", &[]).await;
    assert_eq!(woken(&world, &[&listener]).await, [false], "it has not marked itself");
    queue.wait(POLL).await.unwrap();
    world.request_with("select 1", &[], "run_at => now() + interval '1 day'").await;
    assert_eq!(woken(&world, &[&listener]).await, [false], "it wakes by itself before that");
    queue.awake().await.unwrap();
    world.request("select 1", &[]).await;
    assert_eq!(woken(&world, &[&listener]).await, [false], "it is awake");
    assert_eq!(queue.wait(POLL).await, Ok(WaitState::FromNow));
    assert_eq!(queue.wait(POLL).await, Ok(WaitState::Already));
    world.request("select 1", &[]).await;
    assert_eq!(woken(&world, &[&listener]).await, [true]);
}

#[tokio::test]
async fn a_dead_sleeper_does_not_swallow_the_wake() {
    let world = sleepy().await;
    let (alive, hears) = listening(&world, "alive").await;
    let (dead, heard) = listening(&world, "dead").await;
    alive.wait(POLL).await.unwrap();
    // The last to fall asleep is the first to be woken.
    dead.wait(POLL).await.unwrap();
    drop(heard);
    let gone = format!("select not exists (select from pg_stat_get_activity(worker.listener_pid)) from {WORKERS} where id = 'dead'");
    world.until(&gone).await;
    world.request("select 1", &[]).await;
    tokio::time::timeout(Duration::from_secs(20), hears.wake.notified()).await.unwrap();
}

/// Two workers with one slot each, asleep.
async fn two_sleepers(world: &mut World) -> [crate::harness::Running; 2] {
    // Heartbeats are no look for work, but they would be taken for one.
    (world.settings.work.slots, world.settings.work.heartbeat) = (1, Duration::from_secs(30));
    let running = [world.start().await, world.start().await];
    for one in &running {
        world.until_asleep(&one.worker).await;
    }
    running
}

#[tokio::test]
async fn a_worker_that_is_full_passes_the_wake_on() {
    let mut world = sleepy().await;
    let running = two_sleepers(&mut world).await;
    let gate = world.gate().await;
    world.request_many(2, GATED).await;
    world.until("select count(distinct worker) = 2 from exportbox.jobs where state = 'running'").await;
    gate.open().await;
    for one in running {
        assert_eq!(one.stop().await.exported, 1);
    }
}

#[tokio::test]
async fn a_worker_that_is_full_is_not_woken_in_place_of_one_that_sleeps() {
    let mut world = sleepy().await;
    let running = two_sleepers(&mut world).await;
    let gate = world.gate().await;
    let first = world.request(GATED, &[]).await;
    world.until_at_gate(first).await;
    for one in &running {
        world.until_silent(&one.worker, "300 ms").await;
    }
    // A mail slot is free everywhere, but no application asks for that.
    assert_eq!(world.asleep().await, 1);
    let second = world.request(GATED, &[]).await;
    world.until_at_gate(second).await;
    gate.open().await;
    for one in running {
        one.stop().await;
    }
}

#[tokio::test]
async fn a_worker_whose_listening_connection_was_lost_listens_again() {
    let world = sleepy().await;
    let running = world.start().await;
    world.until_asleep(&running.worker).await;
    let listener: i32 = world.row(&format!("select listener_pid from {WORKERS}"), &[]).await.get(0);
    world.row("select pg_terminate_backend($1)", &[&listener]).await;
    world.until(&format!("select listener_pid <> {listener} and waiting_until > now() from {WORKERS}")).await;
    world.until_asleep(&running.worker).await;
    let id = world.request("select 1 as one", &[]).await;
    world.until_state(id, "completed").await;
    running.stop().await;
}
