//! The database fails over: whatever it says on the way, the worker reconnects with back-off and goes on; nothing is lost, nothing done twice.

use std::time::Duration;

use exportbox::database::{DatabaseError, DatabaseUrl};
use exportbox::sandbox::PostgresOptions;

use crate::harness::process::signal;
use crate::harness::proxy::Proxy;
use crate::harness::rows::JOBS;
use crate::harness::{GATED, World, postgres};

/// What a server, a pooler or a proxy says while it starts, stops, or has no room.
const AWAY: [&str; 10] = ["57P01", "57P02", "57P03", "08000", "08001", "08003", "08004", "08006", "08P01", "53300"];

#[tokio::test]
async fn whatever_a_server_says_that_is_away_is_an_outage_for_the_bookkeeping() {
    let world = World::new().await;
    let proxy = Proxy::start(postgres().port()).await;
    let people = world.people_over("one", &proxy.url(&world.daemon_url()));
    for code in AWAY {
        proxy.refuse(code);
        // The first to ask may learn from its old connection only that it is closed.
        let refused = async || match people.check_schema().await {
            Err(DatabaseError::Unavailable(said)) => said.contains(code),
            other => panic!("{code}: {other:?}"),
        };
        assert!(refused().await || refused().await, "{code}");
        proxy.resume();
        people.check_schema().await.unwrap();
    }
}

#[tokio::test]
async fn whatever_a_source_says_that_is_away_ends_no_export() {
    let mut world = World::new().await;
    let proxy = Proxy::start(postgres().port()).await;
    world.settings.source = proxy.database(&world);
    let id = world.request("select 1 as one", &["ann@example.com"]).await;
    // More often than an export has attempts.
    for code in AWAY {
        proxy.refuse(code);
        assert_eq!(world.drain().await.0.retried, 1, "{code}");
        assert_eq!(world.export(id).await["error_class"], "source_unavailable", "{code}");
        world.let_back_offs_end().await;
    }
    proxy.resume();
    world.drain().await;
    assert_eq!((world.state(id).await.as_str(), world.mails().len()), ("completed", 1));
}

#[tokio::test]
async fn a_daemon_behind_a_server_that_starts_goes_on_when_it_has_started() {
    let mut world = World::new().await;
    let proxy = world.behind_proxy().await;
    world.settings.source = world.settings.database.clone();
    let running = world.start().await;
    world.until_asleep(&running.worker).await;
    for code in ["57P03", "57P01", "08006"] {
        proxy.refuse(code);
        let id = world.request("select 1 as one", &["ann@example.com"]).await;
        world.until("select count(*) = 0 from pg_stat_activity where application_name like 'exportbox listen %' and datname = current_database()").await;
        proxy.resume();
        world.until_state(id, "completed").await;
    }
    let tally = running.stop().await;
    assert_eq!((tally.exported, tally.mailed, tally.dead, tally.lease_lost), (3, 3, 0, 0));
}

#[tokio::test]
async fn connections_that_an_administrator_ends_are_made_anew() {
    let world = World::new().await;
    let running = world.start().await;
    for name in ["exportbox listen %", &format!("exportbox {}", running.worker)] {
        world.until_asleep(&running.worker).await;
        assert_eq!(world.terminate(name).await, 1, "{name}");
        let id = world.request("select 1 as one", &[]).await;
        world.until_state(id, "completed").await;
    }
    let gate = world.gate().await;
    let id = world.request(GATED, &[]).await;
    world.until_at_gate(id).await;
    assert_eq!(world.terminate("exportbox export %").await, 1);
    world.until(&format!("select error_class = 'source_unavailable' from exportbox.exports where id = '{id}'")).await;
    gate.open().await;
    world.let_back_offs_end().await;
    world.sql("select exportbox.wake(now())").await;
    world.until_state(id, "completed").await;
    let tally = running.stop().await;
    assert_eq!((tally.exported, tally.retried, tally.dead), (3, 1, 0));
}

#[tokio::test]
async fn a_daemon_whose_database_becomes_read_only_waits_until_it_can_write_again() {
    let world = World::with_own_server().await;
    let mut daemon = world.logged(&["run", "--poll", "500ms"]).await;
    world.until_so_many_listen(1).await;
    world.sql("alter system set default_transaction_read_only = on").await;
    world.sql("select pg_reload_conf()").await;
    daemon.until_said("the database is read-only").await;
    for mended in ["set default_transaction_read_only = off", "alter system reset default_transaction_read_only", "select pg_reload_conf()"]
    {
        world.sql(mended).await;
    }
    world.sql("reset default_transaction_read_only").await;
    world.until("select not current_setting('default_transaction_read_only')::boolean").await;
    let id = world.request("select 1 as one", &["ann@example.com"]).await;
    world.until_state(id, "completed").await;
    signal(&daemon.child, "TERM").await;
    assert!(daemon.child.wait().await.unwrap().success());
}

/// The primary dies with work under way; its standby is promoted; a URL with both hosts finds it.
#[tokio::test]
async fn a_failover_to_a_promoted_standby_loses_nothing() {
    let options = PostgresOptions { settings: vec![("synchronous_commit".into(), "on".into())], ..PostgresOptions::default() };
    let mut world = World::with_server(&options).await;
    let mut primary = world.own_server.take().unwrap();
    let standby = primary.standby(&options).await.unwrap();
    let both = |user: &str| {
        format!(
            "postgres://{user}:{user}@127.0.0.1:{},127.0.0.1:{}/{}?target_session_attrs=read-write",
            standby.port(),
            primary.port(),
            world.database
        )
    };
    // The standby comes first, and is passed over as long as it only reads.
    let url = DatabaseUrl::parse(&both("exportbox_daemon")).unwrap();
    (world.settings.database, world.settings.source) = (url.clone(), url);
    let application = both("app");
    let requesting = async |query: &str| -> uuid::Uuid {
        let client = crate::harness::connect(&application).await;
        let insert = "insert into exportbox.outbox (query, recipients) values ($1, '{ann@example.com}') returning id";
        client.query_one(insert, &[&query]).await.unwrap().get(0)
    };
    world.sql("select pg_advisory_lock(1)").await;
    let before = requesting("select 1 as one").await;
    let running = world.start().await;
    world.until_state(before, "completed").await;
    world.until("select count(*) = 1 from exportbox.exports where state = 'completed'").await;
    let under_way = requesting(GATED).await;
    world.until_at_gate(under_way).await;
    world.until("select bool_and(replay_lsn >= pg_current_wal_lsn()) from pg_stat_replication").await;
    primary.crash().await.unwrap();
    world.own_server = Some(standby);
    world.reconnect().await;
    world.row("select pg_promote()", &[]).await;
    world.until("select not pg_is_in_recovery()").await;
    world.until(&format!("select state <> 'running' or leases > 1 from {JOBS} where export_id = '{under_way}' and kind = 'export'")).await;
    let after = requesting("select 3 as three").await;
    world.let_back_offs_end().await;
    for id in [before, under_way, after] {
        world.until_state(id, "completed").await;
    }
    let tally = running.stop().await;
    assert_eq!((tally.exported, tally.dead, world.mails().len()), (3, 0, 3));
    world.assert_store_is_clean().await;
    primary.stop().await.unwrap();
}

#[tokio::test]
async fn an_export_that_a_replica_gives_up_for_its_replay_is_made_again() {
    let mut world = World::with_own_server().await;
    let primary = world.own_server.take().unwrap();
    let settings = [("max_standby_streaming_delay", "0"), ("hot_standby_feedback", "off")];
    let settings = settings.map(|(name, value)| (name.to_string(), value.to_string())).to_vec();
    let standby = primary.standby(&PostgresOptions { settings, ..PostgresOptions::default() }).await.unwrap();
    world.settings.source = DatabaseUrl::parse(&standby.url("exportbox_daemon", "exportbox_daemon", &world.database)).unwrap();
    world.own_server = Some(primary);
    world.sql("create table public.book as select generate_series(1, 1000) as id; grant select on public.book to app").await;
    let replica = crate::harness::connect(&standby.superuser_url_for(&world.database)).await;
    let replayed = async || {
        let now = world.text("select pg_current_wal_lsn()::text").await;
        while !replica.query_one(&format!("select pg_last_wal_replay_lsn() >= '{now}'::pg_lsn"), &[]).await.unwrap().get::<_, bool>(0) {
            tokio::task::yield_now().await;
        }
    };
    replayed().await;
    // The gate is the replica's: it holds the query up there.
    replica.batch_execute("select pg_advisory_lock(1)").await.unwrap();
    let id = world.request("select id from public.book, (select pg_advisory_xact_lock_shared(1)) as gate", &[]).await;
    let running = world.start().await;
    let name = format!("exportbox export {id}");
    let at_gate = "select count(*) = 1 from pg_stat_activity where application_name = $1 and wait_event = 'advisory'";
    while !replica.query_one(at_gate, &[&name]).await.unwrap().get::<_, bool>(0) {
        tokio::task::yield_now().await;
    }
    world.sql("delete from public.book where id > 900").await;
    world.sql("vacuum public.book").await;
    world.until(&format!("select error_class = 'replica_conflict' from exportbox.exports where id = '{id}'")).await;
    replica.batch_execute("select pg_advisory_unlock_all()").await.unwrap();
    replayed().await;
    world.let_back_offs_end().await;
    world.sql("select exportbox.wake(now())").await;
    world.until_state(id, "completed").await;
    assert_eq!(world.manifest(id).await["rows"], 900);
    let tally = tokio::time::timeout(Duration::from_secs(30), running.stop()).await.unwrap();
    assert_eq!((tally.exported, tally.retried), (1, 1));
    standby.stop().await.unwrap();
}
