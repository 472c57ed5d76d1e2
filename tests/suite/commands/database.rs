//! A database that cannot serve: each command says what to do, and exits as scripts expect.

use crate::harness::process::assert_gave_up;
use crate::harness::{World, postgres};

const SECRET: &str = "hunter2-secret";
const SOME_ID: &str = "018f0000-0000-7000-8000-000000000001";
const COMMANDS: &[&[&str]] =
    &[&["run"], &["drain"], &["health"], &["status"], &["show", SOME_ID], &["watch", SOME_ID], &["cancel", SOME_ID], &["requeue", SOME_ID]];

fn with_migrate() -> impl Iterator<Item = &'static [&'static str]> {
    COMMANDS.iter().copied().chain([&["migrate"][..]])
}

async fn all_give_up(world: &World, commands: impl Iterator<Item = &'static [&'static str]>, url: &str, code: i32, words: &[&str]) {
    for command in commands {
        let output = world.run_with(command, &[("EXPORTBOX_DATABASE_URL", url)]).await;
        assert_gave_up(&output, code, words, SECRET);
    }
}

#[tokio::test]
async fn a_wrong_password_is_2() {
    let world = World::new().await;
    let url = postgres().url("exportbox_daemon", SECRET, &world.database);
    all_give_up(&world, with_migrate(), &url, 2, &["refuses the login", "EXPORTBOX_DATABASE_URL"]).await;
}

#[tokio::test]
async fn an_unknown_database_is_2() {
    let world = World::new().await;
    let url = postgres().url("exportbox_daemon", "exportbox_daemon", "no_such_database");
    all_give_up(&world, with_migrate(), &url, 2, &["no_such_database"]).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_69() {
    let world = World::new().await;
    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://ann:{SECRET}@127.0.0.1:{port}/shop");
    all_give_up(&world, with_migrate(), &url, 69, &["cannot be reached"]).await;
}

#[tokio::test]
async fn a_database_without_the_schema_is_69() {
    let world = World::new().await;
    let url = world.empty_database().await;
    all_give_up(&world, COMMANDS.iter().copied(), &url, 69, &["run: exportbox migrate"]).await;
}

#[tokio::test]
async fn a_schema_of_another_version_is_69_for_whoever_works() {
    let world = World::new().await;
    let works: [&[&str]; 3] = [&["run"], &["drain"], &["health"]];
    world.sql("insert into exportbox.schema_history select 999, name, applied_on, checksum from exportbox.schema_history limit 1").await;
    all_give_up(&world, works.into_iter(), &world.daemon_url(), 69, &["999", "newer"]).await;
    let admin = postgres().superuser_url_for(&world.database);
    all_give_up(&world, [&["migrate"][..]].into_iter(), &admin, 69, &["999", "install the newer exportbox"]).await;
    world.sql("delete from exportbox.schema_history").await;
    all_give_up(&world, works.into_iter(), &world.daemon_url(), 69, &["version 0", "run: exportbox migrate"]).await;
}

#[tokio::test]
async fn the_schema_of_a_development_version_is_69_with_what_to_do() {
    let world = World::new().await;
    let works: [&[&str]; 3] = [&["run"], &["drain"], &["health"]];
    world
        .sql(
            "update exportbox.schema_history set name = 'tables';
             insert into exportbox.schema_history select 14, 'reports', applied_on, checksum from exportbox.schema_history",
        )
        .await;
    let told = ["development version", "exportbox migrate"];
    all_give_up(&world, works.into_iter(), &world.daemon_url(), 69, &told).await;
    let admin = postgres().superuser_url_for(&world.database);
    all_give_up(&world, [&["migrate"][..], &["migrate", "--dry-run"]].into_iter(), &admin, 69, &told).await;
}

#[tokio::test]
async fn a_read_only_database_is_69() {
    let world = World::new().await;
    let id = world.request("select 1", &[]).await;
    world.sql(&format!("alter database {} set default_transaction_read_only = on", world.database)).await;
    let id = id.to_string();
    for command in [&["drain"][..], &["cancel", &id], &["requeue", &id]] {
        assert_gave_up(&world.run(command).await, 69, &["read-only", "writer"], SECRET);
    }
}

#[tokio::test]
async fn a_login_without_the_grants_is_2() {
    let world = World::new().await;
    drop(world.login("nobody", &[]).await);
    let name = format!("nobody_{}", world.database);
    let url = postgres().url(&name, &name, &world.database);
    all_give_up(&world, COMMANDS.iter().copied(), &url, 2, &["lacks a privilege"]).await;
}
