//! The private PostgreSQL: it starts for anybody, keeps to itself, and ends with its owner.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use exportbox::sandbox::{Postgres, PostgresOptions};
use tokio_postgres::NoTls;

use super::{soon, until};

fn runs(pid: u32) -> bool {
    // A zombie has ended; it only waits for its parent.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

async fn number(url: &str, query: &str) -> Result<i32, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let row = client.query_one(query, &[]).await?;
    drop(client);
    connection.await.unwrap()?;
    Ok(row.get(0))
}

#[tokio::test]
async fn stopping_or_dropping_a_private_server_leaves_no_process_and_no_file() {
    for drop_it in [false, true] {
        let postgres = Postgres::start(&PostgresOptions::default()).await.unwrap();
        assert_eq!(number(&postgres.superuser_url(), "select 42").await.unwrap(), 42);
        let (pid, dir) = (postgres.pid().unwrap(), postgres.dir().to_owned());
        assert!(runs(pid) && dir.join("data/PG_VERSION").exists());
        if drop_it {
            drop(postgres);
        } else {
            postgres.stop().await.unwrap();
        }
        assert!(!runs(pid), "the server still runs");
        assert!(!dir.exists(), "its directory is still there");
    }
}

#[tokio::test]
async fn a_killed_or_interrupted_owner_takes_its_server_and_its_files_with_it() {
    // SIGKILL to the owner: nothing of it runs after this. SIGINT to its process group: what Ctrl-C in a terminal does.
    for (signal, whole_group) in [("KILL", false), ("INT", true)] {
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--nocapture", "--exact", "sandbox::postgres::owns_a_server_until_it_is_killed"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
        let told = lines.map_while(Result::ok).find_map(|line| line.split_once("SERVER ").map(|(_, told)| told.to_owned())).unwrap();
        let (pid, dir) = told.split_once(' ').unwrap();
        let (pid, dir) = (pid.parse().unwrap(), Path::new(dir));
        assert!(runs(pid) && dir.exists());
        let target = if whole_group { format!("-{}", owner.id()) } else { owner.id().to_string() };
        let sent = Command::new("sh").args(["-c", r#"kill -s "$1" -- "$2""#, "kill", signal, &target]).status().unwrap();
        assert!(sent.success());
        owner.wait().unwrap();
        until(|| !runs(pid) && !dir.exists()).await;
    }
}

#[tokio::test]
#[ignore = "the part of the owner in a_killed_or_interrupted_owner_takes_its_server_and_its_files_with_it; waits to be killed"]
async fn owns_a_server_until_it_is_killed() {
    let postgres = Postgres::start(&PostgresOptions::default()).await.unwrap();
    println!("\nSERVER {} {}", postgres.pid().unwrap(), postgres.dir().display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_crashed_server_comes_back_on_its_port_with_what_was_committed() {
    let mut postgres = Postgres::start(&PostgresOptions::default()).await.unwrap();
    let url = postgres.superuser_url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    // Synchronous, because a crash may lose what was committed with the sandbox's own default.
    client.batch_execute("set synchronous_commit = on; create table kept as select 7 as n").await.unwrap();
    postgres.crash().await.unwrap();
    assert!(soon(connection).await.unwrap().is_err(), "the connection survived the crash");
    assert!(number(&url, "select 1").await.is_err(), "the server still answers");
    assert_eq!(postgres.pid(), None);
    postgres.restart().await.unwrap();
    assert_eq!(number(&url, "select n from kept").await.unwrap(), 7);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_private_server_asks_everyone_for_a_password() {
    let postgres = Postgres::start(&PostgresOptions::default()).await.unwrap();
    let wrong = number(&postgres.url("postgres", "guess", "postgres"), "select 1").await.unwrap_err();
    assert_eq!(wrong.code().unwrap().code(), "28P01");
    let socket = format!("host={} port={} user=postgres password=guess", postgres.socket_dir().display(), postgres.port());
    let wrong = number(&socket, "select 1").await.unwrap_err();
    assert_eq!(wrong.code().unwrap().code(), "28P01");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_that_holds_something_is_refused_and_a_kept_one_stays() {
    let parent = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(parent.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let dir = parent.path().join("kept");
    let options = PostgresOptions { keep_dir: Some(dir.clone()), ..Default::default() };
    let postgres = Postgres::start(&options).await.unwrap();
    let pid = postgres.pid().unwrap();
    postgres.stop().await.unwrap();
    assert!(!runs(pid) && dir.join("data/PG_VERSION").exists());
    let refused = Postgres::start(&options).await.unwrap_err();
    assert!(refused.to_string().contains("not empty"), "{refused:#}");
    assert!(dir.join("data/PG_VERSION").exists());
}
