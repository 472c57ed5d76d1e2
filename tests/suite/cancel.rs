//! Cancelling: whatever an export is doing, it ends soon, leaves nothing behind, and the record says who asked.

use std::time::Duration;

use exportbox::job::{Failure, FailureClass, Outcome, State, StopReason, Verdict};
use exportbox::queue::Settled;
use exportbox::sandbox::{Action, Rule};
use uuid::Uuid;

use crate::harness::rows::TAKEN;
use crate::harness::{GATED, LARGE, World, connect, postgres, stale};

/// 12 MB: a multipart upload.

#[tokio::test]
async fn a_pending_export_is_cancelled_at_once_and_never_starts() {
    let world = World::new().await;
    let id = world.request("select 1", &["ann@example.com"]).await;
    assert_eq!(world.cancel(id).await, "cancelled");
    let export = world.export(id).await;
    assert_eq!((export["state"].as_str(), export["error_class"].as_str()), (Some("cancelled"), Some("cancelled")));
    assert_eq!(world.drain().await.0.claimed, 0);
    let actors = world.text("select string_agg(kind || ' by ' || actor, ', ') from exportbox.events").await;
    assert_eq!(actors, "cancelled by app");
}

#[tokio::test]
async fn cancelling_ends_a_running_query_within_seconds_although_the_next_heartbeat_is_far() {
    let mut world = World::new().await;
    world.settings.work.heartbeat = Duration::from_secs(30);
    let gate = world.gate().await;
    let id = world.request(GATED, &["ann@example.com"]).await;
    let running = world.start().await;
    world.until_at_gate(id).await;
    assert_eq!(world.cancel(id).await, "cancelling");
    let soon = async {
        world.until_query_is_gone(id).await;
        world.until_state(id, "cancelled").await;
    };
    tokio::time::timeout(Duration::from_secs(10), soon).await.expect("within seconds");
    assert_eq!(world.text("select outcome from exportbox.attempts").await, "cancelled");
    let actors = "select string_agg(kind || ' by ' || actor, ', ' order by id) from exportbox.events";
    assert_eq!(world.text(actors).await, "cancel_requested by app, cancelled by exportbox_daemon");
    gate.open().await;
    assert_eq!(running.stop().await.cancelled, 1);
    assert!(world.mails().is_empty());
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn cancelling_while_a_part_is_uploaded_leaves_no_upload_and_no_object() {
    let world = World::new().await;
    world.s3.faults().add(Rule::on("UploadPart", Action::Hang));
    let id = world.request(LARGE, &["ann@example.com"]).await;
    let running = world.start().await;
    tokio::time::timeout(Duration::from_secs(20), world.s3.faults().until_hit("UploadPart", 1)).await.unwrap();
    assert_eq!(world.s3.open_uploads().await.len(), 1);
    assert_eq!(world.cancel(id).await, "cancelling");
    world.until_state(id, "cancelled").await;
    assert_eq!(running.stop().await.cancelled, 1);
    assert!(world.s3.open_uploads().await.is_empty());
    assert!(world.s3.objects("exports").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_export_that_was_cancelled_just_before_it_was_done_mails_nothing_and_keeps_nothing() {
    let mut world = World::new().await;
    // The flag is not heard of before the end.
    world.settings.work.heartbeat = Duration::from_secs(30);
    world.s3.faults().add(Rule::on("PutObject", Action::DelayMs(300)));
    let id = world.request("select 1 as one", &["ann@example.com"]).await;
    let running = world.start().await;
    tokio::time::timeout(Duration::from_secs(20), world.s3.faults().until_hit("PutObject", 1)).await.unwrap();
    // As cancel does, but the message to the worker is lost.
    world.set_jobs("cancel_requested_at = now()", "true").await;
    world.until_state(id, "cancelled").await;
    assert_eq!(running.stop().await.cancelled, 1);
    assert_eq!(world.text("select outcome from exportbox.attempts").await, "cancelled");
    assert_eq!(world.count("select count(*) from exportbox.deliveries").await, 0);
    assert_eq!(world.history(id).await, ["cancelled"]);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn cancelling_a_delivering_export_stops_the_mails_that_wait_and_not_those_that_left() {
    let world = World::new().await;
    world.ses.faults().add(Rule::on("SendEmail", Action::error(429, "TooManyRequestsException", "slow")).key_contains("bob"));
    let id = world.request("select 1 as one", &["ann@example.com", "bob@example.com"]).await;
    world.drain().await;
    assert_eq!(world.state(id).await, "delivering");
    assert_eq!(world.cancel(id).await, "cancelled");
    world.let_back_offs_end().await;
    world.ses.faults().clear();
    assert_eq!(world.drain().await.0.claimed, 0);
    let statuses = "select string_agg(recipient || ' ' || status, ', ' order by recipient) from exportbox.deliveries";
    assert_eq!(world.text(statuses).await, "ann@example.com accepted, bob@example.com cancelled");
    let export = world.export(id).await;
    assert_eq!((export["state"].as_str(), export["undelivered"].as_i64()), (Some("completed"), Some(1)));
    assert_eq!(world.mails().len(), 1);
}

#[tokio::test]
async fn a_cancel_outlives_the_worker_that_should_have_heard_of_it() {
    let world = World::new().await;
    let gate = world.gate().await;
    let id = world.request(GATED, &["ann@example.com"]).await;
    let mut process = world.spawn(&["run"]);
    world.until_at_gate(id).await;
    // Stopped, so that it cannot hear of the cancel; then killed.
    let pid = process.id().unwrap().to_string();
    assert!(tokio::process::Command::new("/bin/sh").args(["-c", r#"kill -s STOP "$1""#, "kill", &pid]).status().await.unwrap().success());
    assert_eq!(world.cancel(id).await, "cancelling");
    process.kill().await.unwrap();
    assert_eq!(world.state(id).await, "running");
    world.let_leases_lapse().await;
    let running = world.start().await;
    world.until_state(id, "cancelled").await;
    world.until_query_is_gone(id).await;
    gate.open().await;
    assert_eq!((running.stop().await.claimed, world.mails().len()), (0, 0));
    let export = world.export(id).await;
    assert_eq!((export["error_class"].as_str(), export["error"].as_str()), (Some("cancelled"), Some("Cancelled; its worker was gone.")));
    assert_eq!(world.history(id).await, ["cancel_requested", "reaped"]);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn a_cancel_that_comes_while_a_lost_lease_is_judged_is_not_overlooked() {
    let world = World::new().await;
    let lease = world.claimed("one", &[]).await;
    world.let_leases_lapse().await;
    // Reap has taken its snapshot and stands before the row; only then the cancel is committed.
    world
        .sql(
            "create function public.stand_still() returns boolean language plpgsql as
                'begin perform pg_advisory_xact_lock_shared(1); return true; end';
",
        )
        .await;
    world.guard_jobs(Some("public.stand_still()")).await;
    let gate = world.gate().await;
    let cancelling = async {
        world
            .until("select count(*) > 0 from pg_stat_activity where application_name = 'exportbox reaper' and wait_event = 'advisory'")
            .await;
        assert_eq!(world.cancel(lease.export_id().unwrap()).await, "cancelling");
        gate.open().await;
    };
    let (reaped, ()) = tokio::join!(world.reap(), cancelling);
    assert_eq!(reaped[0].state, "cancelled");
    world.guard_jobs(None).await;
}

#[tokio::test]
async fn a_job_that_goes_back_to_pending_while_it_is_cancelled_is_cancelled_all_the_same() {
    let world = World::new().await;
    let lease = world.claimed("one", &[]).await;
    world.sql("begin").await;
    world.set_jobs(TAKEN, "true").await;
    let settling = async {
        let waits = "select count(*) > 0 from pg_stat_activity where usename = 'app' and wait_event_type = 'Lock'";
        let looking = connect(&postgres().superuser_url_for(&world.database)).await;
        while !looking.query_one(waits, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::task::yield_now().await;
        }
        world.sql("commit").await;
    };
    let (said, ()) = tokio::join!(world.cancel(lease.export_id().unwrap()), settling);
    assert_eq!((said.as_str(), world.state(lease.export_id().unwrap()).await.as_str()), ("cancelled", "cancelled"));
}

#[tokio::test]
async fn whatever_ends_an_attempt_that_was_cancelled_ends_it_as_cancelled() {
    let world = World::new().await;
    let failure = Failure::new(FailureClass::Internal, Verdict::Retry, "The store is away.");
    let ends: [(&str, Outcome); 3] =
        [("release", StopReason::Shutdown.into()), ("cancel", StopReason::Cancelled.into()), ("retry", failure.into())];
    for (name, outcome) in ends {
        let lease = world.claimed("one", &[]).await;
        let late = stale(&lease);
        world.cancel(lease.export_id().unwrap()).await;
        assert_eq!(world.queue("one").settle(lease, outcome).await, Ok(Settled::Done(State::Cancelled)), "{name}");
        assert_eq!(world.attempt(&late).await["outcome"], "cancelled", "{name}");
        assert_eq!(world.history(late.export_id().unwrap()).await, ["cancel_requested", "cancelled"], "{name}");
    }
}

#[tokio::test]
async fn cancelling_twice_changes_nothing_more() {
    let world = World::new().await;
    let id = world.request("select 1", &[]).await;
    world.cancel(id).await;
    let before = world.tables().await;
    assert_eq!(world.cancel(id).await, "nothing to cancel");
    assert_eq!(world.tables().await, before);
    let lease = world.claimed("one", &[]).await;
    assert_eq!(world.cancel(lease.export_id().unwrap()).await, "cancelling");
    let asked_at = world.job(lease.job_id()).await["cancel_requested_at"].clone();
    assert_eq!(world.cancel(lease.export_id().unwrap()).await, "cancelling");
    assert_eq!(world.job(lease.job_id()).await["cancel_requested_at"], asked_at);
    world.let_leases_lapse().await;
    world.reap().await;
}

#[tokio::test]
async fn a_cancelled_export_is_requeued_and_runs_to_its_end() {
    let world = World::new().await;
    let lease = world.claimed("one", &["ann@example.com"]).await;
    let id = lease.export_id().unwrap();
    world.cancel(id).await;
    world.queue("one").settle(lease, StopReason::Cancelled.into()).await.unwrap();
    assert_eq!(world.people("operator").requeue(id).await, Ok(1));
    let job = world.export_job(id).await;
    assert_eq!((job["state"].as_str(), job["attempt"].as_i64(), job["error"].as_str()), (Some("pending"), Some(0), None));
    let (tally, _) = world.drain().await;
    assert_eq!((tally.exported, tally.mailed, world.state(id).await.as_str()), (1, 1, "completed"));
    assert_eq!(world.history(id).await, ["cancel_requested", "cancelled", "requeued"]);
}

#[tokio::test]
async fn a_dead_export_is_requeued_with_all_its_attempts() {
    let world = World::new().await;
    world.sql("create table public.book (id int); grant select on public.book to app").await;
    let id = world.request_with("select id from public.book", &[], "max_attempts => 2::smallint").await;
    for _ in 0..3 {
        world.let_back_offs_end().await;
        world.claim("one", 1, 0).await;
        world.let_leases_lapse().await;
        world.reap().await;
    }
    assert_eq!(world.state(id).await, "dead");
    assert_eq!(world.people("operator").requeue(id).await, Ok(1));
    let job = world.export_job(id).await;
    assert_eq!((job["attempt"].as_i64(), job["crashes"].as_i64(), job["leases"].as_i64()), (Some(0), Some(0), Some(2)));
    assert_eq!(world.drain().await.0.exported, 1);
    assert_eq!(
        world.text("select string_agg(number || ' ' || outcome, ', ' order by number) from exportbox.attempts").await,
        "1 reaped, 2 reaped, 3 completed"
    );
}

#[tokio::test]
async fn a_requester_cancels_its_own_exports_and_nobody_elses() {
    let world = World::new().await;
    let id = world.request("select 1", &[]).await;
    world.sql("do $$ begin create role stranger login password 'stranger' in role exportbox_requester; exception when duplicate_object then null; end $$").await;
    let stranger = connect(&postgres().url("stranger", "stranger", &world.database)).await;
    let refused = stranger.query_one("select exportbox.cancel($1)", &[&id]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "EB061");
    assert_eq!(world.state(id).await, "pending");
    let unknown = stranger.query_one("select exportbox.cancel($1)", &[&Uuid::from_u128(7)]).await.unwrap_err();
    assert_eq!(unknown.code().unwrap().code(), "EB061", "and does not learn which exist");
    assert_eq!(world.cancel(id).await, "cancelled");
}

#[tokio::test]
async fn a_login_that_became_one_tenant_acts_for_that_tenant_alone() {
    let world = World::new().await;
    let (one, two) = (format!("one_{}", world.database), format!("two_{}", world.database));
    world
        .sql(&format!(
            "create role {one}; create role {two}; grant exportbox_requester, exportbox_adhoc to {one}, {two};
             set role {two}; insert into exportbox.outbox (query) values ('select 1'); reset role;"
        ))
        .await;
    let id = world.text("select id::text from exportbox.outbox").await;
    let cancel = format!("select exportbox.cancel('{id}')");
    let refused = world.admin.batch_execute(&format!("set role {one}; {cancel}")).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "EB061");
    world.sql(&format!("reset role; set role {two}; {cancel}; reset role")).await;
    assert_eq!(world.text("select string_agg(actor || ' ' || kind, ', ') from exportbox.events").await, format!("{two} cancelled"));
    world.sql(&format!("drop owned by {one}, {two}; drop role {one}, {two}")).await;
}

#[tokio::test]
async fn a_mail_that_is_being_prepared_when_its_export_is_cancelled_never_leaves() {
    let mut world = World::new().await;
    // Nobody beats meanwhile: the stamp itself has to notice.
    world.settings.work.heartbeat = Duration::from_secs(60);
    world.settings.work.mail_slots = 1;
    let id = world.request("select 1 as one", &["ann@example.com"]).await;
    world.s3.faults().add(Rule::on("HeadObject", Action::DelayMs(1500)).skip(1).times(1));
    let cancelling = async {
        tokio::time::timeout(Duration::from_secs(20), world.s3.faults().until_hit("HeadObject", 2)).await.unwrap();
        assert_eq!(world.cancel(id).await, "cancelling");
    };
    let ((tally, _), ()) = tokio::join!(world.drain(), cancelling);
    assert_eq!((tally.mailed, tally.cancelled), (0, 1));
    assert!(world.mails().is_empty());
    assert_eq!(world.statuses(id).await, ["ann@example.com cancelled"]);
}
