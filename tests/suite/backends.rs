//! Whose query it is: a lost worker's is ended by whoever reaps it, a stranger's never, and limits hold on the server when nobody is there to
//! keep them.

use std::time::Duration;

use exportbox::database::DatabaseUrl;

use crate::harness::process::{code, stderr};
use crate::harness::rows::lock_jobs;
use crate::harness::{GATED, World, postgres};

/// A worker that hangs while it runs a gated export. Its connections stay open, so that no server notices by itself.
#[tokio::test]
async fn whoever_reaps_a_worker_that_hangs_ends_its_query() {
    for world in [World::new().await, World::with_aws_s3().await] {
        let exporter = if world.text("select to_regnamespace('aws_s3')::text").await.is_empty() { "copy" } else { "aws_s3" };
        let gate = world.gate().await;
        let (mut process, id) = world.hanging("").await;
        assert_eq!(world.exporters(id).await, [exporter]);
        world.let_leases_lapse().await;
        let running = world.start().await;
        world.until_query_is_gone(id).await;
        assert_eq!(running.stop().await.reaped, 1);
        process.kill().await.unwrap();
        gate.open().await;
        world.drain().await;
    }
}

#[tokio::test]
async fn the_query_of_a_worker_that_is_cut_off_is_ended_and_the_export_made_by_another() {
    let mut world = World::new().await;
    let direct = world.settings.clone();
    let proxy = world.behind_proxy().await;
    world.settings.source = world.settings.database.clone();
    let gate = world.gate().await;
    let id = world.request(GATED, &["ann@example.com"]).await;
    let cut_off = world.start().await;
    world.until_at_gate(id).await;
    proxy.pause();
    world.let_leases_lapse().await;
    world.settings = direct;
    let running = world.start().await;
    world.until_query_is_gone(id).await;
    gate.open().await;
    world.let_back_offs_end().await;
    world.sql("select exportbox.wake(now())").await;
    world.until_state(id, "completed").await;
    proxy.resume();
    let (lost, tally) = (cut_off.stop().await, running.stop().await);
    assert_eq!((lost.exported, lost.lease_lost, tally.reaped, tally.exported), (0, 1, 1, 1));
    assert_eq!(world.mails().len(), 1);
    world.drain().await;
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn only_the_source_that_ran_a_lost_query_is_asked_to_end_it() {
    let mut world = World::new().await;
    // Its name comes first, and whoever asks it is heard.
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgresql://nobody@{}/nothing", other.local_addr().unwrap());
    world.settings.named_sources = vec![("archive".into(), DatabaseUrl::parse(&url).unwrap())];
    let gate = world.gate().await;
    let (mut process, id) = world.hanging("").await;
    assert_eq!(world.text("select source from exportbox.attempts").await, "default");
    world.let_leases_lapse().await;
    let running = world.start().await;
    world.until_query_is_gone(id).await;
    // Stopping waits for the clean-up.
    assert_eq!(running.stop().await.reaped, 1);
    let heard = tokio::select! {
        biased;
        heard = other.accept() => Some(heard),
        () = std::future::ready(()) => None,
    };
    assert!(heard.is_none(), "another source was asked");
    process.kill().await.unwrap();
    gate.open().await;
    world.drain().await;
}

#[tokio::test]
async fn a_backend_with_the_same_pid_and_another_start_is_never_ended() {
    let world = World::new().await;
    let gate = world.gate().await;
    let (mut process, id) = world.hanging("").await;
    world.set_attempts("xact_start = xact_start - interval '1 microsecond'", "true").await;
    world.let_leases_lapse().await;
    let running = world.start().await;
    world.until("select state = 'pending' from exportbox.jobs").await;
    // Stopping waits for the clean-up.
    assert_eq!(running.stop().await.reaped, 1);
    assert_eq!(world.backends_of(id).await, 1);
    process.kill().await.unwrap();
    gate.open().await;
}

#[tokio::test]
async fn a_reaper_that_may_not_end_the_queries_of_others_says_so_once_and_goes_on() {
    let world = World::new().await;
    drop(world.login("weak", &["exportbox_worker", "app"]).await);
    let gate = world.gate().await;
    let (mut one, first) = world.hanging("").await;
    let (mut two, second) = world.hanging("").await;
    world.let_leases_lapse().await;
    let login = format!("weak_{}", world.database);
    let weak = [("EXPORTBOX_DATABASE_URL", postgres().url(&login, &login, &world.database))];
    let output = world.run_with(&["drain"], &[(weak[0].0, &weak[0].1)]).await;
    let said = stderr(&output);
    assert_eq!((code(&output), said.matches("may not end the queries").count(), said.matches("ERROR").count()), (0, 1, 0), "{said}");
    assert!(said.contains("pg_signal_backend"), "{said}");
    assert_eq!((world.backends_of(first).await, world.backends_of(second).await), (1, 1));
    // Seen but not touched: the same.
    world.sql(&format!("grant pg_read_all_stats to {login}")).await;
    world.lose_again().await;
    let seeing = world.run_with(&["drain"], &[(weak[0].0, &weak[0].1)]).await;
    assert_eq!(stderr(&seeing).matches("may not end the queries").count(), 1, "{}", stderr(&seeing));
    assert_eq!((world.backends_of(first).await, world.backends_of(second).await), (1, 1));
    one.kill().await.unwrap();
    two.kill().await.unwrap();
    gate.open().await;
}

#[tokio::test]
async fn the_servers_own_time_limit_is_what_is_left_of_the_attempt() {
    let world = World::new().await;
    let limit = "select extract(epoch from current_setting('statement_timeout')::interval)::int as s";
    let file = world.file(limit, &[], "timeout => interval '90 seconds'").await;
    let seconds: u32 = file.lines().nth(1).unwrap().parse().unwrap();
    assert!((60..=90).contains(&seconds), "{file}");
}

#[tokio::test]
async fn a_query_ends_at_its_time_limit_on_the_server_although_its_worker_hangs_and_the_deadline_takes_the_job_away() {
    let world = World::new().await;
    let gate = world.gate().await;
    let (mut process, id) = world.hanging("timeout => interval '3 seconds'").await;
    let aborted = "state = 'idle in transaction (aborted)'";
    let of_export = format!("from pg_stat_activity where application_name = 'exportbox export {id}'");
    world.until(&format!("select bool_and({aborted}) {of_export}")).await;
    world.set_jobs("deadline_at = now() - interval '91 seconds'", "true").await;
    let running = world.start().await;
    world.until_query_is_gone(id).await;
    assert_eq!(running.stop().await.reaped, 1);
    assert_eq!(world.text("select error_class from exportbox.jobs").await, "timeout");
    process.kill().await.unwrap();
    gate.open().await;
}

#[tokio::test]
async fn a_bookkeeping_statement_that_waits_too_long_for_a_lock_is_given_up_and_the_worker_goes_on() {
    let mut world = World::new().await;
    world.settings.policy.lease = Duration::from_secs(4);
    let running = world.start().await;
    world.until_asleep(&running.worker).await;
    let id = world.request("select 1 as one", &[]).await;
    world.until_state(id, "completed").await;
    world.until_asleep(&running.worker).await;
    let locker = crate::harness::connect(&postgres().superuser_url_for(&world.database)).await;
    lock_jobs(&locker).await;
    world.notify("").await;
    let name = format!("left('exportbox {}', 63)", running.worker);
    world.until(&format!("select bool_or(wait_event_type = 'Lock') from pg_stat_activity where application_name = {name}")).await;
    // Given up by the server, before the worker loses patience with it after half a lease, while the lock is still held.
    world
        .until(&format!("select bool_and(wait_event_type is distinct from 'Lock') from pg_stat_activity where application_name = {name}"))
        .await;
    locker.batch_execute("rollback").await.unwrap();
    let next = world.request("select 2 as two", &[]).await;
    world.until_state(next, "completed").await;
    running.stop().await;
}
