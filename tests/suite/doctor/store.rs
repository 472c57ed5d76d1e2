//! What is wrong with the bucket, the credentials or a clock.

use std::time::Duration;

use exportbox::doctor::{CheckLimits, CheckStatus};
use exportbox::sandbox::{Action, Rule};
use uuid::Uuid;

use crate::harness::World;
use crate::harness::doctor::{assert_found, assert_rest_is_fine};

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named_by_its_setting() {
    let mut world = World::new().await;
    world.settings.bucket = "missing".into();
    let report = world.doctor().await;
    assert_found(&report, "bucket", CheckStatus::Fail, &["does not exist", "EXPORTBOX_BUCKET"]);
    assert_found(&report, "export_copy", CheckStatus::Skipped, &["bucket"]);
    assert_rest_is_fine(&report, &["bucket"]);
}

#[tokio::test]
async fn a_bucket_that_may_be_seen_and_not_written_is_found_by_writing() {
    let world = World::new().await;
    world.s3.faults().add(Rule::on("PutObject", Action::error(403, "AccessDenied", "Access Denied")));
    let report = world.doctor().await;
    assert_found(&report, "bucket", CheckStatus::Ok, &[]);
    assert_found(&report, "export_copy", CheckStatus::Fail, &["denies access", "s3:PutObject"]);
    assert_rest_is_fine(&report, &["export_copy"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_removed_is_found() {
    let world = World::new().await;
    world.s3.faults().add(Rule::on("DeleteObject", Action::error(403, "AccessDenied", "Access Denied")));
    assert_found(&world.doctor().await, "export_copy", CheckStatus::Fail, &["s3:DeleteObject"]);
}

#[tokio::test]
async fn a_key_that_a_report_names_is_tried() {
    let world = World::new().await;
    let register = "select exportbox.register_report('sales', 'select 1 as one', '{}', 'app', kms_key => 'alias/gone', plan => false)";
    world.sql(register).await;
    assert_found(&world.doctor().await, "kms", CheckStatus::Ok, &["1 of 1 keys"]);
    // The first file has no key of its own.
    world.s3.faults().add(Rule::on("PutObject", Action::error(400, "KMS.DisabledException", "is disabled")).skip(1));
    let report = world.doctor().await;
    assert_found(&report, "kms", CheckStatus::Fail, &["encryption key", "kms:GenerateDataKey"]);
    assert_rest_is_fine(&report, &["kms"]);
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_by_how_much() {
    let world = World::new().await;
    let report = world.doctor_ahead_by(7200).await;
    assert_found(&report, "clock", CheckStatus::Fail, &["s ahead of the store's", "refused", "chrony"]);
    assert_rest_is_fine(&report, &["clock"]);
    assert_found(&world.doctor_ahead_by(-90).await, "clock", CheckStatus::Warn, &["s behind the store's", "chrony"]);
    assert_found(&world.doctor().await, "clock", CheckStatus::Ok, &[]);
}

#[tokio::test]
async fn credentials_that_end_before_a_link_does_are_told() {
    let world = World::new().await;
    assert_found(&world.doctor_with_credentials_for(-60).await, "credentials", CheckStatus::Fail, &["ended at", "renew"]);
    let report = world.doctor_with_credentials_for(600).await;
    assert_found(&report, "credentials", CheckStatus::Warn, &["links die with them", "EXPORTBOX_LINK_TTL"]);
    assert_rest_is_fine(&report, &["credentials"]);
    assert_found(&world.doctor_with_credentials_for(7200).await, "credentials", CheckStatus::Ok, &["later than a link"]);
}

#[tokio::test]
async fn an_object_that_belongs_to_no_export_is_counted_among_those_that_were_looked_at() {
    let world = World::new().await;
    let id = world.request("select 1 as one", &[]).await;
    world.drain().await;
    assert_eq!(world.state(id).await, "completed");
    assert_found(&world.doctor().await, "orphans", CheckStatus::Ok, &["1 objects looked at"]);
    let place = world.s3.dir().join(format!("exports/exports/{}/{}", Uuid::new_v4(), Uuid::new_v4()));
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("left.csv"), "one\n").unwrap();
    let report = world.doctor().await;
    assert_found(&report, "orphans", CheckStatus::Warn, &["2 objects looked at", "1 belong to no export", "lifecycle"]);
    assert_rest_is_fine(&report, &["orphans"]);
    let few = world.doctor_with(CheckLimits { objects: 1, ..CheckLimits::default() }).await;
    assert!(few.of("orphans").unwrap().finding.contains("1 objects looked at, and there are more"), "{few:?}");
}

#[tokio::test]
async fn a_check_that_hangs_is_cut_off_and_keeps_no_other_from_its_turn() {
    let world = World::new().await;
    world.s3.faults().add(Rule::on("HeadBucket", Action::Hang));
    let report = world.doctor_with(CheckLimits { patience: Duration::from_secs(2), ..CheckLimits::default() }).await;
    assert_found(&report, "bucket", CheckStatus::Fail, &["no answer within 2 s", "cut off"]);
    for name in ["database", "grants", "credentials", "mail", "sender"] {
        assert_found(&report, name, CheckStatus::Ok, &[]);
    }
    // A write that hangs ends by itself, and leaves nothing.
    world.s3.faults().clear();
    world.s3.faults().add(Rule::on("PutObject", Action::Hang));
    let report = world.doctor_with(CheckLimits { patience: Duration::from_secs(3), ..CheckLimits::default() }).await;
    assert_found(&report, "export_copy", CheckStatus::Fail, &["in time", "network"]);
    world.assert_store_is_clean().await;
    assert_rest_is_fine(&report, &["export_copy"]);
}
