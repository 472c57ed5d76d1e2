//! A pooler in transaction mode between daemon and database: everything works, nothing is left on connections that others use, and whoever has
//! not said that it is there is told.

use std::time::Duration;

use exportbox::admin::Admin;
use exportbox::database::{DatabaseError, DatabaseUrl};
use exportbox::job::Note;
use exportbox::queue::Queue;

use crate::harness::pooler::Pooler;
use crate::harness::process::{assert_gave_up, code, signal, stderr};
use crate::harness::rows::WORKERS;
use crate::harness::{GATED, World, connect, postgres};

#[tokio::test]
async fn two_workers_export_and_mail_through_a_pooler_of_three_connections() {
    let Some((world, pooler)) = World::pooled(3).await else { return };
    let mut ids = Vec::new();
    for (number, more) in ["format => 'csv'", "format => 'jsonl'", "compression => 'gzip'"].into_iter().cycle().take(12).enumerate() {
        let query = format!("select n, current_date as today from generate_series(1, {number}) as n");
        ids.push(world.request_with(&query, &["ann@example.com", "bob@example.com"], more).await);
    }
    let (one, other) = (world.start().await, world.start().await);
    for id in ids {
        world.until_state(id, "completed").await;
    }
    let (one, other) = (one.stop().await, other.stop().await);
    assert_eq!((one.exported + other.exported, one.mailed + other.mailed, one.lease_lost + other.lease_lost), (12, 24, 0));
    assert_eq!(world.count("select count(*) from exportbox.attempts where outcome <> 'completed'").await, 0);
    assert_eq!(world.mails().len(), 24);
    world.assert_store_is_clean().await;

    let through = connect(&pooler.url(&world.daemon_url())).await;
    for left in ["select count(*)::text from pg_prepared_statements", "select current_setting('statement_timeout')"] {
        let rows = through.query_typed(left, &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, String>(0), "0", "{left}");
    }
}

#[tokio::test]
async fn a_cancel_reaches_a_running_query_through_a_pooler() {
    let Some((world, _pooler)) = World::pooled(3).await else { return };
    let gate = world.gate().await;
    let id = world.request(GATED, &[]).await;
    let running = world.start().await;
    world.until_at_gate(id).await;
    assert_eq!(world.people("operator").cancel(id).await.unwrap(), "cancelling");
    world.until_query_is_gone(id).await;
    world.until_state(id, "cancelled").await;
    gate.open().await;
    assert_eq!(running.stop().await.cancelled, 1);
}

#[tokio::test]
async fn the_query_of_a_worker_that_hangs_is_ended_through_a_pooler_and_made_again() {
    let Some((mut world, pooler)) = World::pooled(3).await else { return };
    world.may_leave_running = true;
    let gate = world.gate().await;
    let id = world.request(GATED, &["ann@example.com"]).await;
    let url = pooler.url(&world.daemon_url());
    let mut hanging = world.program(&["run"]).env("EXPORTBOX_DATABASE_URL", &url).env("EXPORTBOX_POOLED", "yes").spawn().unwrap();
    world.until_at_gate(id).await;
    // Its connections stay open, so no server notices by itself.
    signal(&hanging, "STOP").await;
    world.let_leases_lapse().await;
    let running = world.start().await;
    world.until_query_is_gone(id).await;
    gate.open().await;
    world.let_back_offs_end().await;
    world.until_state(id, "completed").await;
    hanging.kill().await.unwrap();
    let tally = running.stop().await;
    assert_eq!((tally.reaped, tally.exported, world.mails().len()), (1, 1, 1));
}

/// The health view shows what the session of whoever reads it is like.
async fn show_in_health(world: &World, columns: &str) {
    world
        .sql(&format!(
            "drop view exportbox.health; create view exportbox.health as select {columns}; grant select on exportbox.health to exportbox_worker"
        ))
        .await;
}

#[tokio::test]
async fn a_bookkeeping_statement_has_its_limits_behind_a_pooler_too() {
    let Some((world, pooler)) = World::pooled(2).await else { return };
    show_in_health(&world, "current_setting('statement_timeout') as whole, current_setting('lock_timeout') as lock").await;
    let pooled = Admin::new(world.pool("one", &world.settings.database));
    let expected = serde_json::json!({"whole": "30s", "lock": "10s"});
    assert_eq!((pooled.health().await, world.people("two").health().await), (Ok(expected.clone()), Ok(expected)));
    drop(pooler);
}

#[tokio::test]
async fn a_statement_that_is_given_up_is_cancelled_on_its_server() {
    let Some((mut world, _pooler)) = World::pooled(2).await else { return };
    world.settings.policy.lease = Duration::from_secs(4);
    show_in_health(&world, "pg_sleep(3600)::text as sleep").await;
    let people = Admin::new(world.pool("one", &world.settings.database));
    assert!(people.health().await.unwrap_err().is_transient());
    let idle = "select count(*) = 0 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    tokio::time::timeout(Duration::from_secs(15), world.until(idle)).await.expect("before the server's own limit");
}

#[tokio::test]
async fn a_pooler_that_nobody_has_told_of_is_2_and_the_setting_is_named() {
    let world = World::new().await;
    for more in ["", "ignore_startup_parameters = options"] {
        let Some(pooler) = Pooler::start(postgres().port(), 2, more).await else { return };
        let url = pooler.url(&world.daemon_url());
        for command in ["run", "drain", "migrate"] {
            let output = world.run_with(&[command], &[("EXPORTBOX_DATABASE_URL", &url)]).await;
            assert_gave_up(&output, 2, &["EXPORTBOX_POOLED", "pooler"], "hunter2");
        }
        let told = [("EXPORTBOX_DATABASE_URL", url.as_str()), ("EXPORTBOX_POOLED", "true")];
        assert_eq!(code(&world.run_with(&["status"], &told).await), 0);
        assert_gave_up(&world.run_with(&["migrate"], &told).await, 2, &["EXPORTBOX_DIRECT_URL"], "hunter2");
        let owner = postgres().superuser_url_for(&world.database);
        let migrated = world.run_with(&["migrate"], &[told[0], told[1], ("EXPORTBOX_DIRECT_URL", &owner)]).await;
        assert_eq!(code(&migrated), 0, "{}", stderr(&migrated));
    }
}

#[tokio::test]
async fn a_named_statement_that_is_lost_behind_a_pooler_is_never_taken_for_an_outage() {
    let world = World::new().await;
    let Some(pooler) = Pooler::start(postgres().port(), 1, "ignore_startup_parameters = options").await else { return };
    let unaware = world.people_over("one", &pooler.url(&world.daemon_url()));
    // From the second time on by name.
    unaware.check_schema().await.unwrap();
    unaware.check_schema().await.unwrap();
    assert_eq!(world.terminate("exportbox one").await, 1);
    world.until("select count(*) = 0 from pg_stat_activity where application_name = 'exportbox one'").await;
    // The pooler notices when it uses the connection, or before.
    let said = loop {
        match unaware.check_schema().await {
            Err(DatabaseError::Unavailable(_)) => {}
            said => break said,
        }
    };
    assert!(matches!(said, Err(DatabaseError::Pooler(_))), "{said:?}");
}

#[tokio::test]
async fn a_pooled_worker_is_woken_over_the_direct_way_and_counted_without_it() {
    let Some((mut world, _pooler)) = World::pooled(2).await else { return };
    let running = world.start().await;
    world.until("select workers = 1 from exportbox.health").await;
    running.stop().await;
    world.settings.direct = Some(DatabaseUrl::parse(&world.daemon_url()).unwrap());
    world.settings.work.poll = Duration::from_secs(3600);
    let running = world.start().await;
    world
        .until(&format!(
            "select waiting_until > now() + interval '1 minute' and listener_pid > 0 from {WORKERS} where id = '{}'",
            running.worker
        ))
        .await;
    let id = world.request("select 1 as one", &[]).await;
    world.until_state(id, "completed").await;
    running.stop().await;
}

#[tokio::test]
async fn a_late_worker_changes_nothing_through_a_pooler() {
    let Some((mut world, _pooler)) = World::pooled(2).await else { return };
    world.may_leave_running = true;
    let late = world.claimed("late", &[]).await;
    world.let_leases_lapse().await;
    world.reap().await;
    let queue = Queue::new(world.pool("late", &world.settings.database), world.settings.policy.clone());
    let before = world.tables().await;
    assert_eq!(queue.note(late.token(), &Note::Sending).await, Ok(exportbox::queue::Noted::LeaseLost));
    let manifest = world.made_by(&late);
    let settled = queue.settle(late, exportbox::job::Outcome::Exported(manifest)).await;
    assert_eq!(settled, Ok(exportbox::queue::Settled::LeaseLost));
    assert_eq!(world.tables().await, before);
}
