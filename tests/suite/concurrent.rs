//! Everything started at once: daemons, drains and a migration.

use std::collections::BTreeSet;

use crate::harness::log::stop_in_order;
use crate::harness::process::{assert_gave_up, code, json, stderr};
use crate::harness::rows::WORKERS;
use crate::harness::{World, postgres};

const ROLES: &str = "exportbox_requester, exportbox_worker, exportbox_operator, exportbox_reader";

#[tokio::test]
async fn ten_daemons_two_drains_and_a_migration_started_at_once_serve_each_request_once() {
    let world = World::new().await;
    let insert =
        "insert into exportbox.outbox (query, recipients) select 'select ' || n, '{ann@example.com}' from generate_series(1, 200) as n";
    world.app().await.batch_execute(insert).await.unwrap();
    let daemons = world.logged_many(10, &["run", "--poll", "2s"], &world.daemon_url());
    let owner = postgres().superuser_url_for(&world.database);
    let as_owner = [("EXPORTBOX_DATABASE_URL", owner.as_str())];
    let (one, other, migrated) =
        tokio::join!(world.run(&["drain", "--json"]), world.run(&["drain", "--json"]), world.run_with(&["migrate", "--json"], &as_owner));
    assert_eq!(json(&migrated)["applied"], serde_json::json!([]));
    for drained in [&one, &other] {
        assert_eq!(json(drained)["exit_code"], 0, "{}", stderr(drained));
        assert!(!stderr(drained).contains("ERROR"), "{}", stderr(drained));
    }
    world.until("select count(*) = 200 from exportbox.exports where state = 'completed'").await;
    stop_in_order(daemons).await;
    assert_eq!(world.count("select count(*) from exportbox.attempts").await, 400, "an export and a mail each, once");
    assert_eq!(world.count("select count(*) from exportbox.attempts where outcome <> 'completed'").await, 0);
    let mails = world.mails();
    let links: BTreeSet<String> = mails.iter().flat_map(|mail| crate::harness::read_mail(&mail.raw).links).collect();
    assert_eq!((mails.len(), links.len()), (200, 200));
    world.assert_store_is_clean().await;
    world.sql("select pg_stat_clear_snapshot()").await;
    assert_eq!(world.count("select deadlocks from pg_stat_database where datname = current_database()").await, 0);
}

#[tokio::test]
async fn who_starts_before_the_schema_is_there_says_so_and_who_starts_while_it_comes_waits() {
    let world = World::new().await;
    let owner = world.empty_database().await;
    let name = format!("empty_{}", world.database);
    let url = postgres().url("exportbox_daemon", "exportbox_daemon", &name);
    let mut daemons = world.logged_many(10, &["run"], &url);
    let drains = world.logged_many(2, &["drain"], &url);
    let migrated = world.run_with(&["migrate", "--json"], &[("EXPORTBOX_DATABASE_URL", &owner)]).await;
    assert_eq!(code(&migrated), 0, "{}", stderr(&migrated));
    assert!(!json(&migrated)["applied"].as_array().unwrap().is_empty());

    for mut drain in drains {
        let ended = drain.child.wait().await.unwrap();
        let too_early = ended.code() == Some(69) && drain.said().contains("run: exportbox migrate");
        assert!(ended.success() || too_early, "{ended}: {}", drain.said());
    }
    let empty = crate::harness::connect(&owner).await;
    let mut up = 0;
    for daemon in &mut daemons {
        // It has either given up or begun to work.
        loop {
            if let Some(ended) = daemon.child.try_wait().unwrap() {
                assert!(ended.code() == Some(69), "{ended}: {}", daemon.said());
                daemon.until_said("run: exportbox migrate").await;
                break;
            }
            if daemon.said().contains("working") {
                up += 1;
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // What a service manager does.
    daemons.retain_mut(|daemon| daemon.child.try_wait().unwrap().is_none());
    assert_eq!(daemons.len(), up);
    daemons.extend(world.logged_many(10 - up, &["run"], &url));
    let working = format!("select count(*) from {WORKERS} where listener_pid is not null");
    while empty.query_one(&working, &[]).await.unwrap().get::<_, i64>(0) < 10 {
        tokio::task::yield_now().await;
    }
    let app = crate::harness::connect(&postgres().url("app", "app", &name)).await;
    app.batch_execute("insert into exportbox.outbox (query) select 'select 1' from generate_series(1, 20)").await.unwrap();
    let done = "select count(*) from exportbox.exports where state = 'completed'";
    while empty.query_one(done, &[]).await.unwrap().get::<_, i64>(0) < 20 {
        tokio::task::yield_now().await;
    }
    stop_in_order(daemons).await;
}

#[tokio::test]
async fn whoever_finds_a_migration_under_way_waits_for_its_end() {
    let world = World::new().await;
    // As it is in the midst of one: the lock is taken, the grants are not there yet.
    let migration = crate::harness::connect(&postgres().superuser_url_for(&world.database)).await;
    let lock = "select pg_advisory_lock(x'6578706f7274626f'::bigint)";
    migration.batch_execute(&format!("{lock}; revoke usage on schema exportbox from {ROLES}")).await.unwrap();
    let waiting = world.run(&["drain"]);
    let looked = async {
        let seen = "select count(*) = 1 from pg_stat_activity where datname = current_database() and query like '-- name: migrating%'";
        world.until(seen).await;
        let grants = format!("grant usage on schema exportbox to {ROLES}; select pg_advisory_unlock_all()");
        migration.batch_execute(&grants).await.unwrap();
    };
    let (drained, ()) = tokio::join!(waiting, looked);
    assert_eq!(code(&drained), 0, "{}", stderr(&drained));

    migration.batch_execute(&format!("revoke usage on schema exportbox from {ROLES}")).await.unwrap();
    assert_gave_up(&world.run(&["drain"]).await, 2, &["lacks a privilege"], "hunter2");
}
