//! One real PostgreSQL for all tests of the process, and a migrated template that each test clones.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use exportbox::admin::migrate::migrate;
use exportbox::database::DatabaseUrl;
use exportbox::sandbox::{Postgres, PostgresOptions};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

use super::canary::shown_leak;
use super::connect;

/// The application's role, in every database.
pub const APP: &str = "app";
/// The daemon's login.
pub const DAEMON: &str = "exportbox_daemon";
pub const TEMPLATE: &str = "exportbox_template";

struct Server {
    postgres: Postgres,
    /// The server's own runtime: a test's ends with the test.
    _runtime: Runtime,
}

/// The server. It ends with the process, even when that is killed: its watchdog sees to it.
pub fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let start = || {
        let runtime = Runtime::new().unwrap();
        let postgres = runtime.block_on(async {
            let postgres = Postgres::start(&PostgresOptions { max_connections: 400, ..PostgresOptions::default() }).await.unwrap();
            prepare(&postgres).await;
            postgres
        });
        Server { postgres, _runtime: runtime }
    };
    // On a thread that has no runtime yet: one cannot block inside another.
    &SERVER.get_or_init(|| std::thread::spawn(start).join().unwrap()).postgres
}

pub async fn prepare(postgres: &Postgres) {
    let admin = connect(&postgres.superuser_url()).await;
    admin.batch_execute(&format!("create database {TEMPLATE}")).await.unwrap();
    migrate(&DatabaseUrl::parse(&postgres.superuser_url_for(TEMPLATE)).unwrap(), false).await.unwrap();
    admin
        .batch_execute(&format!(
            "create role {APP} login password '{APP}';
             grant exportbox_requester, exportbox_adhoc to {APP};
             create role {DAEMON} login password '{DAEMON}';
             grant exportbox_worker, {APP} to {DAEMON};"
        ))
        .await
        .unwrap();
    let template = connect(&postgres.superuser_url_for(TEMPLATE)).await;
    template.batch_execute(&format!("grant create on schema public to {APP}")).await.unwrap();
}

pub async fn new_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    // PostgreSQL refuses to clone a template that another clone is reading.
    static CLONING: Mutex<()> = Mutex::const_new(());
    let name = format!("world_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let server = postgres();
    let _one_at_a_time = CLONING.lock().await;
    let admin = connect(&server.superuser_url()).await;
    admin.batch_execute(&format!("create database {name} template {TEMPLATE}")).await.unwrap();
    name
}

/// Drop a test's database; returns the jobs that were still running in it, and what it showed to everybody that it should not.
pub fn drop_database(name: &str) -> (i64, Option<String>) {
    Runtime::new().unwrap().block_on(async {
        let found = match tokio_postgres::connect(&postgres().superuser_url_for(name), tokio_postgres::NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                let counted = client.query_one("select count(*) from exportbox.jobs where state = 'running'", &[]).await;
                (counted.map_or(0, |row| row.get(0)), shown_leak(&client).await)
            }
            Err(_) => (0, None),
        };
        let admin = connect(&postgres().superuser_url()).await;
        admin.batch_execute(&format!("drop database {name} with (force)")).await.unwrap();
        found
    })
}
