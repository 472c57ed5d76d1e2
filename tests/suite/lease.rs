//! Leases: a late worker changes nothing, a lost one is noticed, and what it left is taken up and cleaned up by others.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use exportbox::job::{Backend, Failure, FailureClass, Note, Outcome, Receipt, State, StopReason, Verdict};
use exportbox::queue::{Beat, Lease, Noted, Settled};
use exportbox::source::Source;

use crate::harness::rows::hold_delivery;
use crate::harness::{GATED, World, stale};

/// Every way in which a worker can end an attempt.
fn outcomes(world: &World, lease: &Lease) -> Vec<Outcome> {
    let verdicts = [Verdict::Retry, Verdict::Bury, Verdict::Hold, Verdict::Postpone, Verdict::Unknown];
    let failures = verdicts.map(|verdict| Failure::new(FailureClass::Internal, verdict, "late").into());
    let reasons = [StopReason::Cancelled, StopReason::Shutdown, StopReason::Deadline, StopReason::LeaseLost];
    let stops = reasons.into_iter().flat_map(|reason| [false, true].map(|maybe_sent| Outcome::Stopped { reason, maybe_sent }));
    let receipt = Receipt { provider: "ses", message_id: "late".into(), link_expires_at: Some(Utc::now()), link_cut_by: None };
    let successes = [Outcome::Exported(world.made_by(lease)), Outcome::Sent(receipt)];
    successes.into_iter().chain(failures).chain(stops).collect()
}

/// After its lease was lost to another worker: nothing that it writes arrives.
async fn assert_changes_nothing(world: &World, late: &Lease) {
    let (queue, before) = (world.queue("late"), world.tables().await);
    for outcome in outcomes(world, late) {
        assert_eq!(queue.settle(stale(late), outcome).await, Ok(Settled::LeaseLost));
    }
    let store = Note::Store { bucket: "exports".into(), key: "late".into(), upload_id: None };
    let backend = Backend { pid: 1, xact_start: Utc::now() };
    let query = Note::Backend { source: "default".into(), backend, exporter: "copy", expected_rows: None };
    for note in [Note::Sending, query, store] {
        assert_eq!(queue.note(late.token(), &note).await, Ok(Noted::LeaseLost));
    }
    let beat = Beat { job_id: late.job_id(), token: late.token(), rows: 7, bytes: 7 };
    assert!(queue.heartbeat(&[beat]).await.unwrap().is_empty(), "the heartbeat reports the lease as lost");
    assert_eq!(world.tables().await, before);
}

#[tokio::test]
async fn a_late_worker_changes_nothing_of_an_export() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let late = world.claimed("late", &["ann@example.com"]).await;
    world.let_leases_lapse().await;
    world.reap().await;
    assert_changes_nothing(&world, &late).await;
    assert!(world.queue("late").load_export(&late).await.unwrap().is_none());
    world.let_back_offs_end().await;
    let holder = world.claim("other", 1, 0).await.pop().unwrap();
    assert_eq!(holder.job_id(), late.job_id());
    assert_changes_nothing(&world, &late).await;
    let manifest = world.made_by(&holder);
    assert_eq!(world.queue("other").settle(holder, Outcome::Exported(manifest)).await, Ok(Settled::Done(State::Completed)));
    assert_changes_nothing(&world, &late).await;
}

#[tokio::test]
async fn a_late_worker_changes_nothing_of_a_mail() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let late = world.claimed_delivery("late").await;
    world.let_leases_lapse().await;
    world.reap().await;
    assert_changes_nothing(&world, &late).await;
    assert!(world.queue("late").load_message(&late).await.unwrap().is_none());
    world.let_back_offs_end().await;
    assert_eq!(world.claim("other", 0, 1).await[0].job_id(), late.job_id());
    assert_changes_nothing(&world, &late).await;
}

#[tokio::test]
async fn a_heartbeat_keeps_a_lease_beyond_its_length() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let lease = world.claimed("one", &[]).await;
    world.set_jobs("lease_expires_at = now() + interval '1 second'", "true").await;
    let beat = Beat { job_id: lease.job_id(), token: lease.token(), rows: 7, bytes: 70 };
    let landed = world.queue("one").heartbeat(&[beat]).await.unwrap();
    assert!(landed.len() == 1 && landed[0].is_extended && !landed[0].cancel_requested);
    world.until("select lease_expires_at > now() + interval '80 seconds' from exportbox.jobs").await;
    let attempt = world.attempt(&lease).await;
    assert_eq!((attempt["rows"].as_i64(), attempt["bytes"].as_i64()), (Some(7), Some(70)));
    assert!(world.reap().await.is_empty());
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_stops_its_query_and_goes_on_with_other_work() {
    let world = World::new().await;
    let gate = world.gate().await;
    let id = world.request(GATED, &[]).await;
    let running = world.start().await;
    world.until_at_gate(id).await;
    // Later than anybody else would: the loser must notice by itself.
    world.take_leases_away("now() + interval '1 hour'").await;
    world.until_query_is_gone(id).await;
    let other = world.request("select 2 as two", &[]).await;
    world.until_state(other, "completed").await;
    gate.open().await;
    let tally = running.stop().await;
    assert_eq!((tally.lease_lost, tally.exported), (1, 1));
    assert_eq!(world.export_job(id).await["attempt"], 1);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn a_lost_lease_goes_back_unrefunded_and_the_third_is_death() {
    let world = World::new().await;
    let mut lease = world.claimed("one", &["ann@example.com"]).await;
    assert!(world.reap().await.is_empty(), "a lease that runs is left alone");
    for crashes in 1..=3 {
        world.let_leases_lapse().await;
        let reaped = world.reap().await;
        let job = world.job(lease.job_id()).await;
        assert_eq!((reaped.len(), job["crashes"].as_i64(), job["attempt"].as_i64()), (1, Some(crashes), Some(crashes)));
        let attempt = world.attempt(&lease).await;
        assert_eq!((attempt["outcome"].as_str(), attempt["error_class"].as_str()), (Some("reaped"), Some("crashed")));
        if crashes < 3 {
            assert_eq!(
                (reaped[0].state.as_str(), job["state"].as_str(), job["error"].as_str()),
                ("pending", Some("pending"), Some("Its worker was lost."))
            );
            assert!(world.claim("one", 1, 0).await.is_empty(), "it waits before it may kill another worker");
            world.let_back_offs_end().await;
            lease = world.claim("one", 1, 0).await.pop().unwrap();
        }
    }
    let export = world.export(lease.export_id().unwrap()).await;
    assert_eq!((export["state"].as_str(), export["error_class"].as_str()), (Some("dead"), Some("crashed")));
    assert_eq!(
        export["error"],
        "Lost its worker 3 times; it may be what kills them. See why they ended (memory, logs) before you requeue it."
    );
    assert_eq!(world.history(lease.export_id().unwrap()).await, ["reaped", "reaped", "reaped"]);
}

#[tokio::test]
async fn a_crash_on_the_last_attempt_is_death() {
    let world = World::new().await;
    world.request_with("select 1", &[], "max_attempts => 1::smallint").await;
    let lease = world.claim("one", 1, 0).await.pop().unwrap();
    world.let_leases_lapse().await;
    world.reap().await;
    let export = world.export(lease.export_id().unwrap()).await;
    assert_eq!((export["state"].as_str(), export["error"].as_str()), (Some("dead"), Some("Its worker was lost.")));
}

#[tokio::test]
async fn a_worker_that_beats_but_overran_its_deadline_loses_its_job_to_a_timeout_not_a_crash() {
    let world = World::new().await;
    let lease = world.claimed("one", &[]).await;
    world.set_jobs("deadline_at = now() - interval '80 seconds'", "true").await;
    assert!(world.reap().await.is_empty(), "a live worker has a lease's time to say so itself");
    world.set_jobs("deadline_at = now() - interval '91 seconds'", "true").await;
    assert_eq!(world.reap().await[0].error_class, "timeout");
    let job = world.job(lease.job_id()).await;
    assert_eq!((job["state"].as_str(), job["crashes"].as_i64(), job["attempt"].as_i64()), (Some("pending"), Some(0), Some(1)));
    assert_eq!(job["error"], "Ran past its deadline.");
}

#[tokio::test]
async fn a_live_worker_ends_an_attempt_at_its_deadline_by_itself() {
    let world = World::new().await;
    let gate = world.gate().await;
    let id = world.request_with(GATED, &[], "timeout => interval '1 second'").await;
    let (tally, left) = world.drain().await;
    assert_eq!((tally.retried, left.waiting), (1, 1));
    assert_eq!(world.export(id).await["error_class"], "timeout");
    world.until_query_is_gone(id).await;
    gate.open().await;
}

#[tokio::test]
async fn a_mail_that_may_have_been_sent_is_unknown_and_sent_again() {
    let world = World::new().await;
    let lease = world.claimed_delivery("one").await;
    assert_eq!(world.queue("one").note(lease.token(), &Note::Sending).await, Ok(Noted::Recorded));
    world.let_leases_lapse().await;
    assert_eq!(world.reap().await[0].state, "pending");
    assert_eq!(world.text("select status from exportbox.deliveries").await, "unknown");
    assert_eq!(world.history(lease.export_id().unwrap()).await, ["reaped", "unknown"]);
}

#[tokio::test]
async fn a_mail_that_may_have_been_sent_is_held_where_the_policy_says_so_until_a_person_requeues_it() {
    let mut world = World::new().await;
    world.settings.policy.hold_unknown = true;
    let lease = world.claimed_delivery("one").await;
    world.queue("one").note(lease.token(), &Note::Sending).await.unwrap();
    world.let_leases_lapse().await;
    let reaped = world.reap().await;
    assert_eq!((reaped[0].state.as_str(), reaped[0].error_class.as_str()), ("dead", "unknown"));
    assert_eq!(world.text("select status from exportbox.deliveries").await, "unknown");
    assert_eq!(world.history(lease.export_id().unwrap()).await, ["reaped", "unknown"]);
    assert_eq!(world.people("operator").requeue(lease.export_id().unwrap()).await, Ok(1));
    assert_eq!(world.text("select status from exportbox.deliveries").await, "pending");
}

#[tokio::test]
async fn a_delivery_row_that_somebody_holds_keeps_no_other_lost_lease_from_being_reaped() {
    let world = World::new().await;
    let held = world.claimed_delivery("one").await;
    let free = world.claimed("one", &[]).await;
    world.let_leases_lapse().await;
    let somebody = world.another_admin().await;
    hold_delivery(&somebody, &held).await;
    let reaped: Vec<uuid::Uuid> = world.reap().await.iter().map(|reaped| reaped.job_id).collect();
    assert_eq!(reaped, [free.job_id()]);
    somebody.batch_execute("rollback").await.unwrap();
    let reaped: Vec<uuid::Uuid> = world.reap().await.iter().map(|reaped| reaped.job_id).collect();
    assert_eq!(reaped, [held.job_id()]);
}

#[tokio::test]
async fn a_mail_that_had_not_been_handed_over_is_just_pending_again() {
    let world = World::new().await;
    let lease = world.claimed_delivery("one").await;
    world.let_leases_lapse().await;
    world.reap().await;
    assert_eq!(world.text("select status from exportbox.deliveries").await, "pending");
    assert_eq!(world.history(lease.export_id().unwrap()).await, ["reaped"]);
}

#[tokio::test]
async fn a_reaped_exports_query_is_ended_on_its_server_and_a_strangers_is_not() {
    let world = World::new().await;
    let gate = world.gate().await;
    let left_behind = world.app().await;
    left_behind.batch_execute("begin").await.unwrap();
    let of_backend = "select pg_backend_pid(), now()";
    let backend = left_behind.query_one(of_backend, &[]).await.unwrap();
    let backend = Backend { pid: backend.get(0), xact_start: backend.get(1) };

    let source = Source::new(world.settings.source.clone());
    assert_eq!(
        source.end_backend(Backend { xact_start: backend.xact_start + TimeDelta::microseconds(1), ..backend }).await,
        Ok(false),
        "the pid alone is not enough"
    );
    left_behind.batch_execute("select 1").await.unwrap();

    let lease = world.claimed("one", &[]).await;
    let note = Note::Backend { source: "default".into(), backend, exporter: "copy", expected_rows: Some(7) };
    assert_eq!(world.queue("one").note(lease.token(), &note).await, Ok(Noted::Recorded));
    world.let_leases_lapse().await;
    let running = world.start().await;
    let error = tokio::time::timeout(Duration::from_secs(20), left_behind.batch_execute(GATED)).await.unwrap().unwrap_err();
    assert!(error.is_closed() || error.code().is_some_and(|code| code.code() == "57P01"), "{error}");
    gate.open().await;
    assert_eq!(running.stop().await.reaped, 1);
}

#[tokio::test]
async fn a_job_that_is_given_back_gets_its_attempt_back() {
    let world = World::new().await;
    let lease = world.claimed("one", &[]).await;
    let number = stale(&lease);
    assert_eq!(world.queue("one").settle(lease, StopReason::Shutdown.into()).await, Ok(Settled::Done(State::Pending)));
    let job = world.job(number.job_id()).await;
    assert_eq!((job["attempt"].as_i64(), job["leases"].as_i64(), job["crashes"].as_i64()), (Some(0), Some(1), Some(0)));
    assert_eq!(world.attempt(&number).await["outcome"], "released");
    assert_eq!(world.drain().await.0.exported, 1, "it is due at once");
}
