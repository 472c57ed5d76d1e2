//! What losing attempts stored is removed: at once, again when that failed, and once more when something may have come later.

use std::time::Duration;

use exportbox::sandbox::{Action, Rule};

use crate::harness::World;

/// Seconds after a lost attempt's end at which it is swept for the last time.
const LAST_LOOK_S: u32 = 600;

#[tokio::test]
async fn what_arrives_after_a_lost_attempt_was_swept_is_removed_by_the_last_look() {
    let world = World::new().await;
    let (attempt, path) = world.lost_attempt_with_a_file().await;
    // Its last look is a few seconds ahead.
    let age = LAST_LOOK_S - 3;
    world.sql(&format!("update exportbox.attempt set finished_at = now() - interval '{age} s' where lease_token = '{attempt}'")).await;
    let running = world.start().await;
    world
        .until(&format!("select swept_at is not null and sweep_after > now() from exportbox.attempt where lease_token = '{attempt}'"))
        .await;
    assert!(!path.exists());
    std::fs::write(&path, "late").unwrap();
    world.until(&format!("select sweep_after = 'infinity' from exportbox.attempt where lease_token = '{attempt}'")).await;
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
    let postponed = "select swept_at is null and sweep_after > now() + interval '30 seconds' from exportbox.attempt";
    assert_eq!(world.text(&format!("select ({postponed} where lease_token = '{attempt}')::text")).await, "true");
    world.drain().await;
    assert!(path.exists(), "not before its turn");
    world.sql("update exportbox.attempt set sweep_after = now()").await;
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
    let is_swept = format!("select swept_at is not null from exportbox.attempt where lease_token = '{attempt}'");
    assert!(!world.row(&is_swept, &[]).await.get::<_, bool>(0), "the export did not wait for the sweep");
    world.until(&is_swept).await;
    assert!(!path.exists());
    running.stop().await;
}
