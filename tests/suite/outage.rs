//! The database goes away under a working daemon: nothing is lost, nothing is done twice, and the daemon goes on.

use std::time::Duration;

use exportbox::job::{Outcome, State};
use exportbox::queue::Settled;

use crate::harness::proxy::Proxy;
use crate::harness::rows::{JOBS, hold_jobs};
use crate::harness::{GATED, World, postgres};

#[tokio::test]
async fn a_settle_whose_reply_was_lost_is_recognised() {
    let world = World::new().await;
    let proxy = Proxy::start(postgres().port()).await;
    let queue = world.queue_over("one", &proxy.url(&world.daemon_url()));
    for round in 0..3 {
        let lease = world.claimed("one", &["ann@example.com"]).await;
        let (id, manifest) = (lease.export_id().unwrap(), world.made_by(&lease));
        if round < 2 {
            // The statement is prepared the second time.
            assert_eq!(queue.settle(lease, Outcome::Exported(manifest)).await, Ok(Settled::Done(State::Completed)));
            continue;
        }
        proxy.lose_replies();
        let settling = queue.settle(lease, Outcome::Exported(manifest));
        let network = async {
            world.until_state(id, "delivering").await;
            proxy.cut();
            proxy.resume();
        };
        let (settled, ()) = tokio::join!(settling, network);
        assert_eq!(settled, Ok(Settled::Done(State::Completed)));
    }
    assert_eq!(world.count("select count(*) from exportbox.deliveries").await, 3, "one mail for each export");
}

#[tokio::test]
async fn a_database_that_stops_answering_is_away_and_is_found_again() {
    let mut world = World::new().await;
    world.settings.policy.lease = Duration::from_secs(2);
    let proxy = Proxy::start(postgres().port()).await;
    let people = world.people_over("one", &proxy.url(&world.daemon_url()));
    people.check_schema().await.unwrap();
    proxy.pause();
    let silence = tokio::time::timeout(Duration::from_secs(20), people.check_schema()).await.expect("it waits for ever");
    assert!(silence.unwrap_err().is_transient());
    proxy.resume();
    people.check_schema().await.unwrap();
}

#[tokio::test]
async fn an_export_whose_completion_was_written_but_not_heard_of_is_never_swept() {
    let mut world = World::new().await;
    let proxy = world.behind_proxy().await;
    (world.settings.work.slots, world.settings.work.heartbeat) = (1, Duration::from_secs(30));
    let running = world.start().await;
    let first = world.request("select 1 as one", &[]).await;
    world.until_state(first, "completed").await;
    let gate = world.gate().await;
    let id = world.request(GATED, &[]).await;
    world.until_at_gate(id).await;
    // Its completion has arrived at the server before any reply is lost: no other statement can lose one instead.
    let somebody = world.another_admin().await;
    hold_jobs(&somebody, &format!("export_id = '{id}'")).await;
    gate.open().await;
    let completing = "query like '%-- name: complete_export%' and wait_event_type = 'Lock' and datname = current_database()";
    world.until(&format!("select count(*) = 1 from pg_stat_activity where {completing}")).await;
    proxy.lose_replies();
    somebody.batch_execute("rollback").await.unwrap();
    world.until_state(id, "completed").await;
    proxy.cut();
    proxy.resume();
    let tally = running.stop().await;
    assert_eq!((tally.exported, tally.lease_lost), (2, 0));
    world.drain().await;
    assert_eq!(world.stored(id).await, b"one\n1\n");
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn a_worker_that_cannot_beat_stops_before_its_lease_ends() {
    let mut world = World::new().await;
    world.settings.policy.lease = Duration::from_millis(4500);
    let proxy = world.behind_proxy().await;
    let gate = world.gate().await;
    let id = world.request(GATED, &[]).await;
    let running = world.start().await;
    world.until_at_gate(id).await;
    proxy.pause();
    world.until_query_is_gone(id).await;
    assert!(
        world.row("select lease_expires_at > clock_timestamp() from exportbox.jobs", &[]).await.get::<_, bool>(0),
        "the lease ended first"
    );
    gate.open().await;
    world.let_leases_lapse().await;
    world.reap().await;
    world.let_back_offs_end().await;
    proxy.resume();
    world.until_state(id, "completed").await;
    assert!(running.stop().await.lease_lost >= 1);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn an_outage_that_ends_before_the_lease_costs_nothing() {
    let mut world = World::new().await;
    let proxy = world.behind_proxy().await;
    let gate = world.gate().await;
    let id = world.request(GATED, &["ann@example.com"]).await;
    let running = world.start().await;
    world.until_at_gate(id).await;
    proxy.cut();
    gate.open().await;
    tokio::time::timeout(Duration::from_secs(20), world.s3.faults().until_hit("HeadObject", 1)).await.unwrap();
    assert_eq!(world.state(id).await, "running", "nobody can be told yet");
    proxy.resume();
    world.until_state(id, "completed").await;
    assert_eq!(world.export(id).await["attempts"], 1);
    let tally = running.stop().await;
    assert_eq!((tally.exported, tally.mailed, tally.lease_lost), (1, 1, 0));
    assert_eq!(world.mails().len(), 1);
}

#[tokio::test]
async fn a_worker_survives_a_crash_of_its_database_and_goes_on() {
    let mut world = World::with_own_server().await;
    let running = world.start().await;
    let first = world.request("select 1 as one", &[]).await;
    world.until_state(first, "completed").await;
    let gate = world.gate().await;
    let second = world.request(GATED, &[]).await;
    world.until_at_gate(second).await;
    let mut server = world.own_server.take().unwrap();
    server.crash().await.unwrap();
    drop(gate);
    server.restart().await.unwrap();
    world.own_server = Some(server);
    world.reconnect().await;
    world.until(&format!("select state <> 'running' or leases > 1 from {JOBS} where export_id = '{second}'")).await;
    world.let_back_offs_end().await;
    let third = world.request("select 3 as three", &[]).await;
    for id in [second, third] {
        world.until_state(id, "completed").await;
    }
    let tally = running.stop().await;
    assert_eq!((tally.exported, tally.dead), (3, 0));
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn a_full_store_ends_no_export_and_leaves_nothing_behind() {
    let world = World::new().await;
    let large = world.request("select repeat(md5(n::text), 40) as text from generate_series(1, 6000) as n", &[]).await;
    let small = world.request("select 1 as one", &[]).await;
    // The first part of the large one fits, its second does not.
    world.s3.set_capacity(Some(6_000_000));
    world.drain().await;
    world.s3.set_capacity(Some(0));
    for _ in 0..world.settings.policy.export_attempts + 1 {
        world.let_time_pass().await;
        world.drain().await;
    }
    assert!(world.s3.refused_for_want_of_room() > 0);
    let export = world.export(large).await;
    assert_eq!((&export["state"], &export["error_class"]), (&"pending".into(), &"store_unavailable".into()), "{export}");
    world.s3.set_capacity(None);
    world.let_time_pass().await;
    world.complete(&[large, small]).await;
    world.assert_store_is_clean().await;
}
