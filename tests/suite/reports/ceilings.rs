//! What a report allows of rows, bytes and time, in both exporters.

use crate::harness::World;
use crate::harness::rows::{ATTEMPTS, JOBS};

const COUNTED: &str = "select n, repeat('x', 100) as filler from generate_series(1, exportbox.param('n')::int) as n";

/// Register `counted` with these limits, to run as this role.
async fn with_limits(world: &World, run_as: &str, limits: &str) {
    let register = format!("select exportbox.register_report('counted', $q${COUNTED}$q$, '{{\"n\": \"int\"}}', '{run_as}', {limits})");
    world.sql(&register).await;
}

async fn assert_too_large(world: &World, rows: i32, more: &str, words: &[&str]) {
    let id = world.request_report("counted", serde_json::json!({ "n": rows }), more).await;
    world.drain().await;
    let (class, sentence) = world.death(id).await;
    assert_eq!(class, "too_large", "{sentence}");
    assert!(words.iter().all(|word| sentence.contains(word)), "{sentence}");
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn an_export_with_more_rows_than_its_report_allows_dies_and_leaves_nothing() {
    for (world, exporter) in [(World::new().await, "copy"), (World::with_aws_s3().await, "aws_s3")] {
        let role = world.exporting_role(exporter);
        with_limits(&world, &role, "max_rows => 10").await;
        let id = world.request_report("counted", serde_json::json!({"n": 10}), "").await;
        world.complete(&[id]).await;
        assert_eq!(world.exporters(id).await, [exporter]);
        assert_too_large(&world, 11, "", &["10 rows", "max_rows"]).await;
    }
}

#[tokio::test]
async fn an_export_with_more_bytes_than_its_report_allows_dies_and_leaves_nothing() {
    for (world, exporter) in [(World::new().await, "copy"), (World::with_aws_s3().await, "aws_s3")] {
        let role = world.exporting_role(exporter);
        // The header and nine rows: 9 + 9 * 103.
        with_limits(&world, &role, "max_bytes => 936").await;
        let id = world.request_report("counted", serde_json::json!({"n": 9}), "").await;
        world.complete(&[id]).await;
        assert_eq!((world.stored(id).await.len(), world.exporters(id).await), (936, vec![exporter.to_string()]));
        assert_too_large(&world, 10, "", &["936 bytes", "max_bytes"]).await;
    }
}

#[tokio::test]
async fn the_bytes_that_count_are_those_that_are_stored() {
    let world = World::new().await;
    with_limits(&world, "app", "max_bytes => 100000").await;
    let id = world.request_report("counted", serde_json::json!({"n": 10000}), ", compression => 'gzip'").await;
    world.complete(&[id]).await;
    assert_too_large(&world, 10000, "", &["100000 bytes"]).await;
}

#[tokio::test]
async fn a_multipart_upload_that_grows_too_large_is_aborted_on_its_way() {
    let world = World::new().await;
    with_limits(&world, "app", "max_bytes => 12000000").await;
    assert_too_large(&world, 200_000, "", &["12000000 bytes"]).await;
    // Begun, and never more of it stored than is allowed; its first part may not even have landed.
    let attempt = format!("select upload_id is not null and coalesce(bytes, 0) <= 12000000 from {ATTEMPTS}");
    assert!(world.row(&attempt, &[]).await.get::<_, bool>(0), "it did not begin an upload, or ran to its end");
}

#[tokio::test]
async fn a_request_gets_no_more_time_than_its_report_allows() {
    let world = World::new().await;
    world.register("slow", "select pg_sleep(60)", ", timeout => '1 second'").await;
    for (asked, given) in [("", "00:00:01"), (", timeout => '1 hour'", "00:00:01")] {
        let id = world.request_report("slow", serde_json::json!({}), &format!("{asked}, max_attempts => 1")).await;
        assert_eq!(world.text(&format!("select timeout::text from {JOBS} where export_id = '{id}'")).await, given);
        world.drain().await;
        assert_eq!(world.death(id).await.0, "timeout");
    }
}
