//! What is wrong with the database, the login or the source.

use std::time::Duration;

use exportbox::database::{DatabaseError, DatabaseUrl};
use exportbox::doctor::{CheckLimits, CheckStatus};
use exportbox::export::ExporterSetting;

use crate::harness::doctor::{assert_found, assert_rest_is_fine};
use crate::harness::pooler::Pooler;
use crate::harness::{World, postgres};

#[tokio::test]
async fn a_set_up_that_works_has_nothing_to_do_and_nothing_of_the_look_stays() {
    let world = World::with_sealed_reports().await;
    let report = world.doctor().await;
    assert_rest_is_fine(&report, &[]);
    for name in ["database", "grants", "schema", "bucket", "sender", "clock", "credentials", "autovacuum"] {
        assert_found(&report, name, CheckStatus::Ok, &[]);
    }
    for name in ["export_copy", "export_aws_s3"] {
        assert_found(&report, name, CheckStatus::Ok, &["stored, verified and removed"]);
    }
    assert_found(&report, "exporter", CheckStatus::Ok, &["auto takes aws_s3 for sealed reports"]);
    let counts = world.s3.faults().counts();
    let written: u64 = ["PutObject", "CompleteMultipartUpload"].iter().filter_map(|operation| counts.get(*operation)).sum();
    assert_eq!(written, 2, "each exporter has written once: {counts:?}");
    world.assert_store_is_clean().await;
    assert_eq!(world.count("select (select count(*) from exportbox.jobs) + (select count(*) from exportbox.events)").await, 0);
    assert!(world.mails().is_empty());
}

#[tokio::test]
async fn a_right_that_was_taken_away_is_named_with_the_statements_that_need_it() {
    let world = World::new().await;
    world.sql("revoke select on exportbox.object from exportbox_worker").await;
    let report = world.doctor().await;
    assert_found(&report, "grants", CheckStatus::Fail, &["permission denied for table object", "load_message", "grant exportbox_worker"]);
    // What needs the same right says so, too.
    assert_rest_is_fine(&report, &["grants", "orphans"]);
}

#[tokio::test]
async fn a_role_that_the_login_may_not_become_is_named() {
    let world = World::new().await;
    let role = format!("{}_stranger", world.database);
    world
        .sql(&format!("create role {role}; select exportbox.register_report('sales', 'select 1 as one', '{{}}', '{role}', plan => false)"))
        .await;
    let report = world.doctor().await;
    assert_found(&report, "roles", CheckStatus::Fail, &[&format!("may not become {role}"), &format!("grant {role} to")]);
    assert_rest_is_fine(&report, &["roles"]);
    world.sql(&format!("grant {role} to exportbox_daemon")).await;
    let report = world.doctor().await;
    world.sql(&format!("revoke {role} from exportbox_daemon")).await;
    assert_found(&report, "roles", CheckStatus::Ok, &["all 1"]);
}

#[tokio::test]
async fn a_standby_is_no_place_for_an_outbox() {
    let mut world = World::with_own_server().await;
    let standby = world.own_server.as_ref().unwrap().standby(&Default::default()).await.unwrap();
    let url = DatabaseUrl::parse(&standby.url("exportbox_daemon", "exportbox_daemon", &world.database)).unwrap();
    world.settings.database = url.clone();
    let report = world.doctor().await;
    assert_found(&report, "primary", CheckStatus::Fail, &["standby", "EXPORTBOX_DATABASE_URL", "writer"]);
    assert_eq!(report.refused, Some(DatabaseError::ReadOnly));
    assert_rest_is_fine(&report, &["primary"]);
    // As a source it is welcome.
    world.settings.database = DatabaseUrl::parse(&world.daemon_url()).unwrap();
    world.settings.source = url;
    let report = world.doctor().await;
    assert_found(&report, "source", CheckStatus::Ok, &["standby"]);
    assert_found(&report, "export_copy", CheckStatus::Ok, &["removed"]);
    assert_rest_is_fine(&report, &[]);
}

#[tokio::test]
async fn a_pooler_that_nobody_has_told_of_is_found_and_one_that_is_known_is_told_of_wakes() {
    let mut world = World::new().await;
    for more in ["", "ignore_startup_parameters = options"] {
        let Some(pooler) = Pooler::start(postgres().port(), 3, more).await else { return };
        let url = DatabaseUrl::parse(&pooler.url(&world.daemon_url())).unwrap();
        world.settings.database = url.clone();
        let report = world.doctor().await;
        // One refuses the session's options, the other one loses them.
        let name = if more.is_empty() { "database" } else { "pooler" };
        assert_found(&report, name, CheckStatus::Fail, &["EXPORTBOX_POOLED=true"]);
        world.settings.database = url.behind_pooler(true);
        let report = world.doctor().await;
        assert_found(&report, "pooler", CheckStatus::Warn, &["no wake", "EXPORTBOX_DIRECT_URL"]);
        assert_found(&report, "grants", CheckStatus::Ok, &[]);
        world.settings.direct = Some(DatabaseUrl::parse(&world.daemon_url()).unwrap());
        assert_found(&world.doctor().await, "pooler", CheckStatus::Ok, &["past it"]);
        world.settings.direct = None;
    }
}

#[tokio::test]
async fn an_old_snapshot_is_named_with_who_holds_it() {
    let world = World::new().await;
    let limits = CheckLimits { snapshot: Duration::from_millis(1), ..CheckLimits::default() };
    let reader = world.old_snapshot().await;
    let report = world.doctor_with(limits.clone()).await;
    assert_found(&report, "snapshots", CheckStatus::Warn, &["an old reader", "pg_terminate_backend"]);
    assert_found(&world.doctor().await, "snapshots", CheckStatus::Ok, &[]);
    reader.batch_execute("rollback").await.unwrap();
}

#[tokio::test]
async fn a_table_that_autovacuum_passes_over_is_named() {
    let world = World::new().await;
    world.sql("alter table exportbox.job set (autovacuum_enabled = off)").await;
    let report = world.doctor().await;
    assert_found(&report, "autovacuum", CheckStatus::Warn, &["off for job", "reset (autovacuum_enabled)"]);
    assert_rest_is_fine(&report, &["autovacuum"]);
}

#[tokio::test]
async fn a_login_with_fewer_connections_than_a_process_needs_is_told_both_numbers() {
    let mut world = World::with_sealed_reports().await;
    world.sql(&format!("alter role {}_daemon connection limit 5", world.database)).await;
    world.settings.work.slots = 4;
    let report = world.doctor().await;
    assert_found(&report, "connections", CheckStatus::Fail, &["6", "5", "EXPORTBOX_SLOTS"]);
    world.settings.work.slots = 2;
    assert_found(&world.doctor().await, "connections", CheckStatus::Ok, &["of 5 are in use"]);
}

#[tokio::test]
async fn what_is_on_hold_and_what_is_dead_is_told() {
    let world = World::new().await;
    let id = world.request("select no_such_column", &[]).await;
    world.drain().await;
    assert_eq!(world.state(id).await, "dead");
    assert_found(&world.doctor().await, "work", CheckStatus::Warn, &["1 dead", "exportbox requeue"]);
    world.hold("message", "mail_config", "Planted.", "null").await;
    assert_found(&world.doctor().await, "work", CheckStatus::Warn, &["delivery: Planted."]);
}

#[tokio::test]
async fn an_exporter_that_is_asked_for_and_not_there_is_told_and_one_that_is_ruled_out_is_not_tried() {
    let mut world = World::new().await;
    world.settings.exporter = ExporterSetting::AwsS3;
    let report = world.doctor().await;
    assert_found(&report, "aws_s3", CheckStatus::Fail, &["no aws_s3", "EXPORTBOX_EXPORTER=copy"]);
    assert_found(&report, "exporter", CheckStatus::Fail, &["EXPORTBOX_EXPORTER=auto"]);
    assert_rest_is_fine(&report, &["aws_s3", "exporter"]);
    let mut world = World::with_aws_s3().await;
    assert_found(&world.doctor().await, "export_aws_s3", CheckStatus::Ok, &["removed"]);
    world.settings.exporter = ExporterSetting::Copy;
    assert_found(&world.doctor().await, "export_aws_s3", CheckStatus::Skipped, &["EXPORTBOX_EXPORTER=copy"]);
    world.settings.exporter = ExporterSetting::Auto;
    world.sql(&format!("revoke usage on schema aws_s3 from {}_exporter", world.database)).await;
    let report = world.doctor().await;
    assert_found(&report, "export_aws_s3", CheckStatus::Skipped, &["neither the login nor a role"]);
    assert_found(&report, "exporter", CheckStatus::Ok, &["the login may not call it"]);
    assert_rest_is_fine(&report, &[]);
}

#[tokio::test]
async fn an_old_schema_is_named_and_everything_else_is_looked_at() {
    let world = World::new().await;
    world.sql("delete from exportbox.schema_history").await;
    let report = world.doctor().await;
    assert_found(&report, "schema", CheckStatus::Fail, &["version 0", "exportbox migrate"]);
    assert!(matches!(report.refused, Some(DatabaseError::Schema(_))));
    assert_found(&report, "grants", CheckStatus::Skipped, &["schema"]);
    assert_found(&report, "export_copy", CheckStatus::Ok, &["removed"]);
    assert_rest_is_fine(&report, &["schema"]);
}
