//! Stopping, in order and not: what fits in the grace is finished, the rest is given back unburnt, and a killed process costs one lease.

use std::time::Duration;

use exportbox::sandbox::{Action, Rule};

use crate::harness::rows::WORKERS;
use crate::harness::{GATED, LARGE, World};

/// 12 MB: a multipart upload.

#[tokio::test]
async fn what_does_not_fit_in_the_grace_is_given_back_unburnt() {
    let mut world = World::new().await;
    world.settings.work.grace = Duration::from_millis(100);
    let gate = world.gate().await;
    let id = world.request(GATED, &["ann@example.com"]).await;
    let running = world.start().await;
    world.until_at_gate(id).await;
    let worker = running.worker.clone();
    let tally = running.stop().await;
    assert_eq!((tally.claimed, tally.exported, tally.retried), (1, 0, 1));
    assert_eq!(world.backends_of(id).await, 0, "the query ended before the process did");
    let job = world.export_job(id).await;
    assert_eq!((job["state"].as_str(), job["attempt"].as_i64(), job["error"].as_str()), (Some("pending"), Some(0), None));
    assert_eq!(world.text("select outcome from exportbox.attempts").await, "released");
    assert_eq!(world.count(&format!("select count(*) from {WORKERS} where id = '{worker}'")).await, 0);
    world.assert_store_is_clean().await;
    gate.open().await;
    assert_eq!(world.drain().await.0.exported, 1, "another process has it at once");
}

#[tokio::test]
async fn an_upload_that_is_given_back_leaves_nothing_open() {
    let mut world = World::new().await;
    world.settings.work.grace = Duration::from_millis(100);
    world.s3.faults().add(Rule::on("UploadPart", Action::Hang).times(1));
    let id = world.request(LARGE, &[]).await;
    let running = world.start().await;
    tokio::time::timeout(Duration::from_secs(20), world.s3.faults().until_hit("UploadPart", 1)).await.unwrap();
    running.stop().await;
    assert_eq!(world.export_job(id).await["attempt"], 0);
    world.assert_store_is_clean().await;
    world.drain().await;
    assert_eq!(world.state(id).await, "completed");
}

#[tokio::test]
async fn what_fits_in_the_grace_is_finished_and_nothing_new_is_begun() {
    let world = World::new().await;
    let gate = world.gate().await;
    let id = world.request(GATED, &["ann@example.com"]).await;
    let running = world.start().await;
    world.until_at_gate(id).await;
    let opening = async {
        gate.open().await;
        world.until("select state = 'completed' from exportbox.jobs where kind = 'export'").await;
    };
    let (tally, ()) = tokio::join!(running.stop(), opening);
    assert_eq!((tally.claimed, tally.exported, tally.retried, tally.mailed), (1, 1, 0, 0), "the mail is left to others");
    assert_eq!(world.state(id).await, "delivering");
    assert_eq!(world.drain().await.0.mailed, 1);
}

#[tokio::test]
async fn a_process_stops_on_sigterm_with_code_0_and_leaves_no_lease() {
    let world = World::new().await;
    let gate = world.gate().await;
    let id = world.request(GATED, &[]).await;
    let mut process = world.spawn(&["run", "--grace", "100ms"]);
    world.until_at_gate(id).await;
    let pid = process.id().unwrap().to_string();
    assert!(tokio::process::Command::new("/bin/sh").args(["-c", r#"kill -s TERM "$1""#, "kill", &pid]).status().await.unwrap().success());
    let status = tokio::time::timeout(Duration::from_secs(20), process.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    let job = world.export_job(id).await;
    assert_eq!((job["state"].as_str(), job["attempt"].as_i64()), (Some("pending"), Some(0)));
    gate.open().await;
}

#[tokio::test]
async fn a_process_that_is_killed_in_an_upload_costs_one_lease_and_leaves_one_file_and_one_mail_each() {
    let world = World::new().await;
    world.s3.faults().add(Rule::on("UploadPart", Action::Hang).skip(1).times(1));
    let id = world.request(LARGE, &["ann@example.com", "bob@example.com"]).await;
    let mut process = world.spawn(&["run"]);
    tokio::time::timeout(Duration::from_secs(30), world.s3.faults().until_hit("UploadPart", 2)).await.unwrap();
    process.kill().await.unwrap();
    let left = world.s3.open_uploads().await;
    assert!(left.len() == 1 && left[0].parts == 1, "killed in the middle: {left:?}");
    assert_eq!(world.state(id).await, "running", "nobody but the lease knows");

    world.let_leases_lapse().await;
    assert_eq!(world.drain().await.0.reaped, 1);
    world.assert_store_is_clean().await;
    world.let_back_offs_end().await;
    world.drain().await;
    let export = world.export(id).await;
    assert_eq!((export["state"].as_str(), export["attempts"].as_i64(), export["objects"].as_i64()), (Some("completed"), Some(2), Some(1)));
    assert_eq!(world.stored(id).await, world.copy(LARGE, "format csv, header").await);
    world.assert_store_is_clean().await;
    let mut recipients: Vec<String> = world.mails().iter().flat_map(|mail| mail.to.clone()).collect();
    recipients.sort();
    assert_eq!(recipients, ["ann@example.com", "bob@example.com"]);
    assert_eq!(
        world.text("select string_agg(outcome, ', ' order by number) from exportbox.attempts where kind = 'export'").await,
        "reaped, completed"
    );
}
