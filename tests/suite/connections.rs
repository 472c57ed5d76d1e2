//! How many connections a process takes: bounded, checked at its start, and none left is no more than an outage.

use exportbox::database::DatabaseUrl;
use exportbox::sandbox::PostgresOptions;

use crate::harness::process::{assert_gave_up, code, stderr};
use crate::harness::rows::JOBS;
use crate::harness::{GATED, World, postgres};

/// 2 for each process and one for each of its exports: 80 of the 97 that a server of 100 leaves to those who are no superusers.
#[tokio::test]
async fn sixteen_busy_workers_fit_on_a_server_of_100_connections() {
    let mut world = World::with_server(&PostgresOptions { max_connections: 100, ..PostgresOptions::default() }).await;
    world.settings.work.slots = 3;
    let gate = world.gate().await;
    world.request_many(16 * 3 + 16, GATED).await;
    let mut running = Vec::new();
    for _ in 0..16 {
        running.push(world.start().await);
    }
    world.until_so_many_at_gate(16 * 3).await;
    world.until_so_many_listen(16).await;
    assert_eq!(world.connections_of_daemons("").await, 16 * (2 + 3));
    gate.open().await;
    world.until("select count(*) = 64 from exportbox.exports where state = 'completed'").await;
    let (mut exported, mut retried) = (0, 0);
    for worker in running {
        let tally = worker.stop().await;
        (exported, retried) = (exported + tally.exported, retried + tally.retried);
    }
    assert_eq!((exported, retried), (64, 0));
    let log = world.server_log();
    assert!(!log.contains("too many") && !log.contains("connection slots"), "{log}");
}

#[tokio::test]
async fn a_process_that_can_never_fit_is_refused_with_what_to_change() {
    let world = World::new().await;
    drop(world.login("worker", &["exportbox_worker", "app"]).await);
    let login = format!("worker_{}", world.database);
    let url = postgres().url(&login, &login, &world.database);
    world.sql(&format!("alter role {login} connection limit 5")).await;
    for command in ["run", "drain"] {
        let output = world.run_with(&[command], &[("EXPORTBOX_DATABASE_URL", &url)]).await;
        assert_gave_up(&output, 2, &["EXPORTBOX_SLOTS=4 needs up to 6 connections, and the login allows 5", "alter role"], &login);
    }
    let fits = world.run_with(&["drain"], &[("EXPORTBOX_DATABASE_URL", &url), ("EXPORTBOX_SLOTS", "3")]).await;
    assert_eq!(code(&fits), 0, "{}", stderr(&fits));

    world.sql(&format!("alter role {login} connection limit 3")).await;
    let as_source = world.run_with(&["drain"], &[("EXPORTBOX_SOURCE_URL", &url)]).await;
    assert_gave_up(&as_source, 2, &["needs up to 4 connections, and the login allows 3"], &login);

    world.sql(&format!("alter database {} connection limit 4", world.database)).await;
    assert_gave_up(&world.run(&["drain"]).await, 2, &["the database allows 4", "alter database"], "hunter2");
}

#[tokio::test]
async fn a_process_says_how_many_connections_there_are_and_when_they_do_not_suffice_now() {
    let world = World::new().await;
    world.sql(&format!("alter database {} connection limit 12", world.database)).await;
    let said = stderr(&world.run(&["drain", "--log-format", "json"]).await);
    assert!(said.contains(r#""connections.limit":12,"connections.needed":7"#) && said.contains("connections suffice"), "{said}");
    let mut others = Vec::new();
    for _ in 0..7 {
        others.push(world.app().await);
    }
    let output = world.run(&["drain"]).await;
    assert!(stderr(&output).contains("fewer connections are free"), "{}", stderr(&output));
    assert_eq!(code(&output), 0, "a warning is no refusal");
}

#[tokio::test]
async fn a_source_without_a_free_connection_is_tried_again_and_burns_nothing() {
    let mut world = World::with_server(&PostgresOptions { max_connections: 12, ..PostgresOptions::default() }).await;
    world.settings.work.slots = 1;
    let running = world.start().await;
    world.until_asleep(&running.worker).await;
    let taken = world.take_all_connections().await;
    let request = "insert into exportbox.outbox (query, recipients, max_attempts) values ('select 1 as one', '{ann@example.com}', 5)";
    taken[0].batch_execute(request).await.unwrap();
    for round in 1..=7 {
        world.until(&format!("select state = 'pending' and leases = {round} from {JOBS}")).await;
        assert_eq!(world.text("select error_class from exportbox.jobs").await, "source_unavailable");
        world.set_jobs("run_at = now()", "true").await;
        world.sql("select exportbox.wake(now())").await;
    }
    drop(taken);
    world.until("select count(*) = 0 from pg_stat_activity where usename = 'app'").await;
    world
        .until(&format!(
            "select exportbox.wake(now()) is not null and state = 'pending' and leases >= 8 or state = 'completed' from {JOBS} where kind = 'export'"
        ))
        .await;
    world.let_back_offs_end().await;
    world.sql("select exportbox.wake(now())").await;
    world.until("select count(*) = 1 from exportbox.exports where state = 'completed'").await;
    assert_eq!(running.stop().await.dead, 0);
}

#[tokio::test]
async fn a_worker_that_gets_no_connection_back_waits_for_one() {
    let mut world = World::with_server(&PostgresOptions { max_connections: 12, ..PostgresOptions::default() }).await;
    world.settings.work.slots = 1;
    let running = world.start().await;
    world.until_asleep(&running.worker).await;
    let mut taken = world.take_all_connections().await;
    let application = taken.pop().unwrap();
    assert_eq!(world.terminate(&format!("exportbox {}", running.worker)).await, 1);
    taken.extend(world.take_all_connections().await);
    assert_eq!(world.connections_of_daemons("and application_name not like '% listen %'").await, 0, "the place is not taken");
    application.batch_execute("insert into exportbox.outbox (query) values ('select 1')").await.unwrap();
    // Refused, it must try again: nothing else makes these two come true.
    let refusals = world.server_log().matches("slots are reserved").count() + world.server_log().matches("too many clients").count();
    while world.server_log().matches("slots are reserved").count() + world.server_log().matches("too many clients").count() < refusals + 2 {
        tokio::task::yield_now().await;
    }
    drop((taken, application));
    world.until("select count(*) = 1 from exportbox.exports where state = 'completed'").await;
    let tally = running.stop().await;
    assert_eq!((tally.exported, tally.dead, tally.lease_lost), (1, 0, 0));
}

#[tokio::test]
async fn a_source_that_cannot_be_asked_at_the_start_keeps_nobody_from_starting() {
    let mut world = World::new().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    world.settings.source = DatabaseUrl::parse(&format!("postgres://ann:x@127.0.0.1:{nobody}/shop")).unwrap();
    let id = world.request("select 1", &[]).await;
    assert_eq!(world.drain().await.0.retried, 1);
    assert_eq!(world.export(id).await["error_class"], "source_unavailable");
}
