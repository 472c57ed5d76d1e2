//! The place of a round: the sandbox's PostgreSQL, S3 and SES in this process, the shop's tables, and a directory for logs.

use std::path::PathBuf;

use exportbox::admin::migrate::migrate;
use exportbox::database::DatabaseUrl;
use exportbox::sandbox::{DAEMON, Faults, PostgresOptions, Sandbox, SandboxOptions};
use futures_util::SinkExt;
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

use crate::Settings;
use crate::ledger::{Ledger, lines};
use crate::tally::Tally;

/// Where cargo put the program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_exportbox");
pub const DATABASE: &str = "chaos";
pub const BUCKET: &str = "exports";
/// So many lines are in the table: 80,000 are 6 MB of gzip.
const LINES: usize = 80_000;

/// Everything that a round stands on.
pub struct World {
    pub sandbox: Mutex<Sandbox>,
    pub store_faults: Faults,
    pub mail_faults: Faults,
    pub port: u16,
    pub admin_url: String,
    /// A role that exports through the daemon, and one that may use aws_s3.
    pub client_urls: [String; 2],
    pub environment: Vec<(String, String)>,
    pub store_dir: PathBuf,
    pub mail_dir: PathBuf,
    /// The round's own directory under `target/`.
    pub dir: PathBuf,
    pub lines: Vec<String>,
    pub ledger: Ledger,
    pub tally: Tally,
}

impl World {
    pub async fn build(settings: Settings) -> World {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("../chaos/seed-{}", settings.seed));
        // A round before this one with the same seed.
        drop(std::fs::remove_dir_all(&dir));
        std::fs::create_dir_all(&dir).unwrap();
        let dir = dir.canonicalize().unwrap();
        let durable = [("synchronous_commit", "on"), ("full_page_writes", "on"), ("max_connections", "300")];
        let options = SandboxOptions {
            // Commits that were answered must survive the crashes.
            postgres: PostgresOptions { settings: durable.map(|(name, value)| (name.into(), value.into())).into(), ..Default::default() },
            program: Some(PROGRAM.into()),
            bucket: BUCKET.into(),
            ..Default::default()
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        sandbox.create_database(DATABASE).await.unwrap();
        let admin_url = sandbox.postgres.superuser_url_for(DATABASE);
        migrate(&DatabaseUrl::parse(&admin_url).unwrap(), false).await.unwrap();
        let admin = connect(&admin_url).await.unwrap();
        sandbox.grant_daemon(&admin).await.unwrap();
        let lines = lines(settings.seed, LINES);
        set_up_shop(&admin, &lines).await;
        sandbox.grant_aws_s3(&admin, "shop_inside").await.unwrap();
        World {
            store_faults: sandbox.s3.faults().clone(),
            mail_faults: sandbox.ses.faults().clone(),
            port: sandbox.postgres.port(),
            admin_url,
            client_urls: ["shop", "shop_inside"].map(|role| sandbox.postgres.url(role, role, DATABASE)),
            environment: sandbox.environment(DATABASE),
            store_dir: sandbox.s3.dir().join(BUCKET),
            mail_dir: sandbox.ses.dir().to_path_buf(),
            lines,
            ledger: Ledger::new(&dir.join("requests.log")),
            tally: Tally::new(&dir.join("round.log")),
            sandbox: Mutex::new(sandbox),
            dir,
        }
    }

    /// A superuser, as soon as there is a server to be one on.
    pub async fn admin(&self) -> Client {
        loop {
            if let Some(admin) = connect(&self.admin_url).await {
                return admin;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

/// The shop: its own orders, by which a client learns whether it committed, and lines that never change.
async fn set_up_shop(admin: &Client, lines: &[String]) {
    admin
        .batch_execute(&format!(
            "create schema shop;
             create table shop.orders (id uuid primary key, placed_at timestamptz not null default now());
             create table shop.line (n int primary key, text text not null);
             create role shop login password 'shop';
             create role shop_inside login password 'shop_inside';
             grant exportbox_requester, exportbox_adhoc to shop, shop_inside;
             grant usage on schema shop to shop, shop_inside;
             grant select, insert on shop.orders to shop, shop_inside;
             grant select on shop.line to shop, shop_inside;
             grant shop, shop_inside to {DAEMON}"
        ))
        .await
        .unwrap();
    let sink = admin.copy_in("copy shop.line (n, text) from stdin").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    for (n, text) in (1..).zip(lines) {
        sink.send(bytes::Bytes::from(format!("{n}\t{text}\n"))).await.unwrap();
    }
    sink.close().await.unwrap();
    admin.batch_execute("analyze shop.line").await.unwrap();
}

/// Connect and keep the connection polled; none: there is no server now.
pub async fn connect(url: &str) -> Option<Client> {
    let connecting = tokio::time::timeout(std::time::Duration::from_secs(10), tokio_postgres::connect(url, NoTls));
    let (client, connection) = connecting.await.ok()?.ok()?;
    tokio::spawn(connection);
    Some(client)
}
