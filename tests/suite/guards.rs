//! Guards that only show when a worker is slow, deaf or hung at the wrong moment.

use std::time::Duration;

use exportbox::job::Outcome;
use exportbox::queue::Settled;
use exportbox::sandbox::{Action, Rule};

use crate::harness::{LARGE, World, stale};

/// 12 MB: a multipart upload.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_late_attempt_stores_beside_the_file_that_won_and_what_it_stored_is_swept() {
    let world = World::new().await;
    let late = world.claimed("late", &[]).await;
    let job = world.begin(&late).await;
    world.let_leases_lapse().await;
    world.reap().await;
    world.let_back_offs_end().await;
    world.complete(&[late.export_id().unwrap()]).await;
    // It was stopped at the wrong moment, hears of nothing, and goes on.
    let outcome = world.go_on(&late, &job, Duration::ZERO).await;
    assert!(matches!(outcome, Outcome::Exported(_)), "{outcome:?}");
    assert_eq!(world.queue("late").settle(stale(&late), outcome).await, Ok(Settled::LeaseLost));
    world.queue("late").reopen_sweep(late.token()).await.unwrap();
    world.drain().await;
    assert_eq!(world.stored(late.export_id().unwrap()).await, b"one\n1\n");
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn a_worker_whose_own_clock_has_run_out_publishes_nothing() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let lease = world.claimed("one", &[]).await;
    let job = world.begin(&lease).await;
    let two_thirds = world.settings.policy.lease * 2 / 3;
    let outcome = world.go_on(&lease, &job, two_thirds).await;
    assert!(matches!(outcome, Outcome::Stopped { .. }), "{outcome:?}");
    assert_eq!(world.s3.objects("exports").await.unwrap(), []);
    assert!(matches!(world.go_on(&lease, &job, Duration::ZERO).await, Outcome::Exported(_)), "else the refusal proves nothing");
}

#[tokio::test]
async fn a_messenger_whose_stamp_came_back_after_its_own_clock_had_run_out_sends_nothing() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.request("select 1 as one", &["ann@example.com"]).await;
    world.hold_deliveries().await;
    world.drain().await;
    world.let_deliveries_go().await;
    let lease = world.claim("one", 0, 1).await.pop().unwrap();
    let outcome = world.deliver_by_hand(&lease, world.settings.policy.lease * 2 / 3).await;
    assert!(matches!(outcome, Outcome::Stopped { .. }), "{outcome:?}");
    let sent = || std::fs::read_dir(world.dir().join("by-hand")).map_or(0, Iterator::count);
    assert_eq!(sent(), 0);
    assert!(matches!(world.deliver_by_hand(&lease, Duration::ZERO).await, Outcome::Sent(_)), "else the refusal proves nothing");
    assert_eq!(sent(), 1);
}

#[tokio::test]
async fn an_attempt_that_hangs_in_the_store_ends_at_its_deadline() {
    let world = World::new().await;
    world.s3.faults().add(Rule::on("UploadPart", Action::Hang));
    let id = world.request_with(LARGE, &[], "timeout => interval '2 seconds'").await;
    let (tally, left) = tokio::time::timeout(SOON, world.drain()).await.expect("it hangs for ever");
    assert_eq!((tally.retried, tally.reaped, left.waiting), (1, 0, 1));
    assert_eq!(world.export(id).await["error_class"], "timeout");
}

#[tokio::test]
async fn while_a_provider_is_being_called_the_delivery_says_that_it_may_be_sent() {
    let world = World::new().await;
    world.ses.faults().add(Rule::on("SendEmail", Action::DelayMs(3000)));
    let id = world.request("select 1 as one", &["ann@example.com"]).await;
    let running = world.start().await;
    tokio::time::timeout(SOON, world.ses.faults().until_hit("SendEmail", 1)).await.unwrap();
    assert_eq!(world.text("select status from exportbox.deliveries").await, "sending");
    world.until_state(id, "completed").await;
    assert_eq!(running.stop().await.mailed, 1);
}
