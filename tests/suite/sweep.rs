//! What losing attempts stored is removed: at once, again when that failed, and once more when something may have come later.

use std::time::Duration;

use exportbox::job::{Note, StopReason};
use exportbox::sandbox::{Action, Rule};

use crate::harness::World;
use crate::harness::rows::ATTEMPTS;

/// Seconds after a lost attempt's end at which it is swept for the last time.
const LAST_LOOK_S: u32 = 600;

#[tokio::test]
async fn what_arrives_after_a_lost_attempt_was_swept_is_removed_by_the_last_look() {
    let world = World::new().await;
    let (attempt, path) = world.lost_attempt_with_a_file().await;
    // Its last look is a few seconds ahead.
    let age = LAST_LOOK_S - 3;
    world.set_attempts(&format!("finished_at = now() - interval '{age} s'"), &format!("lease_token = '{attempt}'")).await;
    let running = world.start().await;
    world.until(&format!("select swept_at is not null and sweep_after > now() from {ATTEMPTS} where lease_token = '{attempt}'")).await;
    assert!(!path.exists());
    std::fs::write(&path, "late").unwrap();
    world.until(&format!("select sweep_after = 'infinity' from {ATTEMPTS} where lease_token = '{attempt}'")).await;
    assert!(!path.exists());
    running.stop().await;
}

#[tokio::test]
async fn what_could_not_be_swept_waits_its_turn_and_is_swept_then() {
    let world = World::new().await;
    let (attempt, path) = world.lost_attempt_with_a_file().await;
    world.s3.faults().add(Rule::on("ListObjectsV2", Action::error(403, "AccessDenied", "no")).times(1));
    world.drain().await;
    assert!(path.exists());
    let postponed = format!("select swept_at is null and sweep_after > now() + interval '30 seconds' from {ATTEMPTS}");
    assert_eq!(world.text(&format!("select ({postponed} where lease_token = '{attempt}')::text")).await, "true");
    world.drain().await;
    assert!(path.exists(), "not before its turn");
    world.set_attempts("sweep_after = now()", "true").await;
    world.drain().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_store_that_hangs_in_a_sweep_keeps_nobody_from_working() {
    let world = World::new().await;
    let (attempt, path) = world.lost_attempt_with_a_file().await;
    world.s3.faults().add(Rule::on("ListObjectsV2", Action::DelayMs(1500)).times(1));
    let running = world.start().await;
    tokio::time::timeout(Duration::from_secs(20), world.s3.faults().until_hit("ListObjectsV2", 1)).await.unwrap();
    let id = world.request("select 1 as one", &[]).await;
    world.until_state(id, "completed").await;
    let is_swept = format!("select swept_at is not null from {ATTEMPTS} where lease_token = '{attempt}'");
    assert!(!world.row(&is_swept, &[]).await.get::<_, bool>(0), "the export did not wait for the sweep");
    world.until(&is_swept).await;
    assert!(!path.exists());
    running.stop().await;
}

#[tokio::test]
async fn an_upload_whose_beginning_was_not_heard_of_is_not_left_open() {
    for world in [World::new().await, World::with_aws_s3().await] {
        world.s3.faults().add(Rule::on("CreateMultipartUpload", Action::CutReply).times(1));
        let id = world.request("select repeat(md5(n::text), 40) as text from generate_series(1, 6000) as n", &[]).await;
        world.complete(&[id]).await;
        assert_eq!(world.s3.faults().list(), []);
        assert_eq!(world.export(id).await["attempts"], 1, "the lost reply cost no attempt");
        world.assert_store_is_clean().await;
    }
}

#[tokio::test]
async fn a_losing_attempt_inside_the_database_is_looked_at_once_more() {
    let world = World::with_aws_s3().await;
    let id = world.request("select 1 / 0 as one", &[]).await;
    world.drain().await;
    assert_eq!(world.exporters(id).await, ["aws_s3"]);
    let last_look = format!(
        "select count(*) from {ATTEMPTS} where swept_at is not null and sweep_after between now() + interval '9 minutes' and now() + interval '10 minutes'"
    );
    assert_eq!(world.count(&last_look).await, 1, "its query might have outlived its connection");
}

#[tokio::test]
async fn every_losing_attempt_is_looked_at_once_more() {
    let world = World::new().await;
    let lease = world.claimed("one", &[]).await;
    let (token, key) = (lease.token(), world.made_by(&lease).parts[0].key.clone());
    let note = Note::Store { bucket: "exports".into(), key, upload_id: None };
    world.queue("one").note(token, &note).await.unwrap();
    world.queue("one").settle(lease, StopReason::Shutdown.into()).await.unwrap();
    world.drain().await;
    let again = format!(
        "select swept_at is not null and sweep_after > now() and sweep_after < 'infinity' from {ATTEMPTS} where lease_token = '{}'",
        token.0
    );
    assert!(world.row(&again, &[]).await.get::<_, bool>(0));
}
