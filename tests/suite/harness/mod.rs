//! One world a test: a database of its own on a shared real PostgreSQL, a real S3 and SES over HTTP, and the daemon over both.
//!
//! A test arranges with `sql` and `request`, acts with `drain` or `start`, and waits with `until`; nothing sleeps for a fixed time. A world
//! that ends with a running job fails its test.

mod attempts;
mod aws_s3;
pub mod canary;
mod churn;
pub mod connections;
#[cfg(debug_assertions)]
pub mod crash;
mod deliveries;
pub mod dockerfile;
pub mod doctor;
pub mod exports;
pub mod files;
pub mod history;
pub mod jobs;
pub mod log;
pub mod metrics;
mod operate;
pub mod pooler;
pub mod process;
pub mod proxy;
mod reports;
pub mod requests;
mod rights;
pub mod rows;
pub mod schedules;
mod server;
pub mod statements;
mod steps;

use std::path::PathBuf;
use std::time::Duration;

use aws_config::SdkConfig;
use exportbox::admin::{Remaining, Retention};
use exportbox::config::Settings;
use exportbox::daemon::Daemon;
use exportbox::database::DatabaseUrl;
use exportbox::export::{ExporterSetting, SplitOptions};
use exportbox::queue::{Policy, Queue};
use exportbox::sandbox::{Postgres, PostgresOptions, S3, S3Options, Ses, SesOptions, StoredMail};
use exportbox::worker::{Budget, NoticeOptions, Tally, WorkOptions};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use server::postgres;
pub use steps::{GATED, stale};

/// Longest wait for a condition; a test that gets there has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// One test's world.
pub struct World {
    pub database: String,
    /// A superuser, to look and to age rows.
    pub admin: Client,
    pub s3: S3,
    pub ses: Ses,
    /// What the daemon is started with; change it before `drain` or `start`.
    pub settings: Settings,
    s3_config: SdkConfig,
    ses_config: SdkConfig,
    _dir: tempfile::TempDir,
    /// Only where a test needs a server of its own: to end it, or to start it with settings of its own.
    pub own_server: Option<Postgres>,
    /// For many requests and comparisons: a login costs more than they do.
    requester: tokio::sync::OnceCell<Client>,
    /// A test about a worker that is gone leaves its job behind.
    pub may_leave_running: bool,
}

/// A daemon that runs in the test's process.
pub struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Tally>,
    pub worker: String,
}

impl Running {
    /// As SIGTERM does.
    pub async fn stop(self) -> Tally {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

/// A query whose file is stored in several parts.
pub const LARGE: &str = "select repeat('x', 1000) as line from generate_series(1, 12000)";

const ACCESS_KEY: &str = "TESTKEY";
const SECRET_KEY: &str = "test-secret";

async fn sdk(endpoint: String) -> SdkConfig {
    let credentials = aws_credential_types::Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
    let base =
        exportbox::daemon::aws_config_with(|loader| loader.credentials_provider(credentials).region("eu-west-1").endpoint_url(endpoint));
    base.await
}

impl World {
    pub async fn new() -> World {
        World::with_ses(SesOptions::default()).await
    }

    /// A world with a database server of its own.
    pub async fn with_own_server() -> World {
        // It may be crashed, and what was committed must survive that.
        let settings = vec![("synchronous_commit".into(), "on".into())];
        World::with_server(&PostgresOptions { settings, ..PostgresOptions::default() }).await
    }

    /// The same with options.
    pub async fn with_server(options: &PostgresOptions) -> World {
        let server = Postgres::start(options).await.unwrap();
        server::prepare(&server).await;
        let database = server::TEMPLATE.to_string();
        World::over(Some(server), database, SesOptions::default()).await
    }

    pub async fn with_ses(ses: SesOptions) -> World {
        World::over(None, server::new_database().await, ses).await
    }

    async fn over(own_server: Option<Postgres>, database: String, ses: SesOptions) -> World {
        canary::watch_the_log();
        let dir = tempfile::tempdir().unwrap();
        let server = own_server.as_ref().unwrap_or_else(|| postgres());
        let admin = connect(&server.superuser_url_for(&database)).await;
        let daemon_url = server.url(server::DAEMON, server::DAEMON, &database);
        let s3 = S3::start(&S3Options {
            dir: dir.path().join("s3"),
            access_key: ACCESS_KEY.into(),
            secret_key: SECRET_KEY.into(),
            buckets: vec!["exports".into()],
            ..S3Options::default()
        })
        .await
        .unwrap();
        let ses = Ses::start(&SesOptions { dir: dir.path().join("mails"), ..ses }).await.unwrap();
        let settings = Settings {
            database: DatabaseUrl::parse(&daemon_url).unwrap(),
            direct: None,
            source: DatabaseUrl::parse(&daemon_url).unwrap(),
            source_for: Vec::new(),
            named_sources: Vec::new(),
            bucket: "exports".into(),
            prefix: "exports".into(),
            exporter: ExporterSetting::Auto,
            mail: "ses".parse().unwrap(),
            sender: "Exports <exports@example.com>".parse().unwrap(),
            ses_configuration_set: None,
            link_ttl: Duration::from_secs(3600),
            object_life: None,
            part_size: 5 * 1024 * 1024,
            split: SplitOptions::default(),
            public_s3_endpoint: None,
            policy: Policy::default(),
            work: WorkOptions {
                slots: 4,
                mail_slots: 8,
                poll: Duration::from_secs(60),
                heartbeat: Duration::from_millis(200),
                grace: Duration::from_secs(10),
                retention: Retention::default(),
                abandoned_uploads: None,
                notices: NoticeOptions::default(),
            },
        };
        let (s3_config, ses_config) = (sdk(s3.endpoint()).await, sdk(ses.endpoint()).await);
        World {
            database,
            admin,
            s3,
            ses,
            settings,
            s3_config,
            ses_config,
            _dir: dir,
            own_server,
            requester: tokio::sync::OnceCell::new(),
            may_leave_running: false,
        }
    }

    /// A place for files of this test.
    pub fn dir(&self) -> PathBuf {
        self._dir.path().to_path_buf()
    }

    /// A connection as the application's role: may insert requests and ad-hoc queries.
    pub async fn app(&self) -> Client {
        connect(&self.app_url()).await
    }

    async fn requester(&self) -> &Client {
        self.requester.get_or_init(|| self.app()).await
    }

    /// Connect anew after the world's own server was restarted.
    pub async fn reconnect(&mut self) {
        self.admin = connect(&self.server().superuser_url_for(&self.database)).await;
        self.requester = tokio::sync::OnceCell::new();
    }

    /// A URL as that role.
    pub fn app_url(&self) -> String {
        self.server().url(server::APP, server::APP, &self.database)
    }

    /// A URL as the daemon's role.
    pub fn daemon_url(&self) -> String {
        self.server().url(server::DAEMON, server::DAEMON, &self.database)
    }

    fn server(&self) -> &Postgres {
        self.own_server.as_ref().unwrap_or_else(|| postgres())
    }

    /// Run statements as superuser.
    pub async fn sql(&self, statements: &str) {
        self.admin.batch_execute(statements).await.unwrap();
    }

    /// One row as superuser.
    pub async fn row(&self, query: &str, params: &[&(dyn ToSql + Sync)]) -> Row {
        self.admin.query_one(query, params).await.unwrap()
    }

    /// One number as superuser.
    pub async fn count(&self, query: &str) -> i64 {
        self.row(query, &[]).await.get(0)
    }

    /// One word as superuser; null is empty.
    pub async fn text(&self, query: &str) -> String {
        self.row(query, &[]).await.get::<_, Option<String>>(0).unwrap_or_default()
    }

    /// Request an ad-hoc export as the application.
    pub async fn request(&self, query: &str, recipients: &[&str]) -> Uuid {
        self.request_with(query, recipients, "").await
    }

    /// The same with more arguments of `request_export`, such as `format => 'jsonl'`.
    pub async fn request_with(&self, query: &str, recipients: &[&str], more: &str) -> Uuid {
        let more = canary::with_canaries(more);
        let call = format!("select exportbox.request_export(query => $1, recipients => $2, {more})");
        self.requester().await.query_one(&call, &[&query, &recipients]).await.unwrap().get(0)
    }

    /// The row of `exportbox.exports` as JSON.
    pub async fn export(&self, id: Uuid) -> serde_json::Value {
        self.row("select to_jsonb(e) from exportbox.exports as e where id = $1", &[&id]).await.get(0)
    }

    /// Its state.
    pub async fn state(&self, id: Uuid) -> String {
        self.export(id).await["state"].as_str().unwrap().to_string()
    }

    /// The job tables as a worker of its own sees them; never through a proxy.
    pub fn queue(&self, worker: &str) -> Queue {
        self.queue_over(worker, &self.daemon_url())
    }

    /// A daemon, not started.
    pub async fn daemon(&self) -> Daemon {
        Daemon::start_with(self.settings.clone(), &self.s3_config, &self.ses_config).await.unwrap()
    }

    /// Work until nothing is due.
    pub async fn drain(&self) -> (Tally, Remaining) {
        self.daemon().await.drain(Budget::default(), CancellationToken::new()).await.unwrap()
    }

    /// Start a daemon in this process.
    pub async fn start(&self) -> Running {
        let daemon = self.daemon().await;
        let (stop, worker) = (CancellationToken::new(), daemon.name().to_string());
        let stopped = stop.clone();
        Running { stop, worker, task: tokio::spawn(async move { daemon.run(stopped).await.unwrap() }) }
    }

    /// Wait until a query says true.
    pub async fn until(&self, condition: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if self.row(&format!("select coalesce(({condition}), false)"), &[]).await.get(0) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "never came true: {condition}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Wait until an export is in this state.
    pub async fn until_state(&self, id: Uuid, state: &str) {
        self.until(&format!("select state = '{state}' from exportbox.exports where id = '{id}'")).await;
    }

    /// The stored bytes of a finished export, parts joined, straight from the store's disk.
    pub async fn stored(&self, id: Uuid) -> Vec<u8> {
        let rows = self.admin.query("select key from exportbox.objects where export_id = $1 order by part", &[&id]).await.unwrap();
        assert!(!rows.is_empty(), "nothing is stored for {id}");
        let mut bytes = Vec::new();
        for row in rows {
            let key: String = row.get(0);
            match std::fs::read(self.s3.dir().join("exports").join(&key)) {
                Ok(file) => bytes.extend(file),
                // A key that is too long for a file's name lies elsewhere.
                Err(_) => bytes.extend(self.downloaded(&key).await),
            }
        }
        bytes
    }

    /// What COPY gives the application for this query.
    pub async fn copy(&self, query: &str, options: &str) -> Vec<u8> {
        use futures_util::TryStreamExt;
        let client = self.requester().await;
        client.batch_execute("set timezone = 'UTC'").await.unwrap();
        let stream = client.copy_out(&format!("copy ({query}\n) to stdout with ({options})")).await.unwrap();
        let mut bytes = Vec::new();
        let mut stream = std::pin::pin!(stream);
        while let Some(line) = stream.try_next().await.unwrap() {
            bytes.extend_from_slice(&line);
        }
        bytes
    }

    /// The mails, oldest first.
    pub fn mails(&self) -> Vec<StoredMail> {
        self.ses.mails()
    }

    /// Nothing is left in the store but what finished exports point to: no other object, no open upload.
    pub async fn assert_store_is_clean(&self) {
        let uploads = self.s3.open_uploads().await;
        assert!(uploads.is_empty(), "open uploads: {uploads:?}");
        let rows = self.admin.query("select key from exportbox.objects", &[]).await.unwrap();
        let known: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let strays: Vec<(String, u64)> =
            self.s3.objects("exports").await.unwrap().into_iter().filter(|(key, _)| !known.contains(key)).collect();
        assert!(strays.is_empty(), "objects that no export points to: {strays:?}");
    }

    /// Server processes that run this export's query.
    pub async fn backends_of(&self, id: Uuid) -> i64 {
        let name = format!("exportbox export {id}");
        self.row("select count(*) from pg_stat_activity where application_name = $1", &[&name]).await.get(0)
    }
}

/// The text and links of a mail, as an independent parser reads them.
pub struct ReadMail {
    pub subject: String,
    pub text: String,
    pub html: String,
    pub links: Vec<String>,
    pub headers: std::collections::HashMap<String, String>,
}

/// Parse a mail.
pub fn read_mail(raw: &[u8]) -> ReadMail {
    let parsed = mail_parser::MessageParser::default().parse(raw).unwrap();
    let text = parsed.body_text(0).unwrap().into_owned();
    let links = text.split_whitespace().filter(|word| word.contains("X-Amz-Signature=")).map(ToString::to_string).collect();
    let headers = parsed.headers_raw().map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string())).collect();
    ReadMail {
        subject: parsed.subject().unwrap_or_default().to_string(),
        html: parsed.body_html(0).unwrap().into_owned(),
        text,
        links,
        headers,
    }
}

/// Connect and keep the connection polled.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() || self.own_server.is_some() {
            return;
        }
        let (database, may_leave_running) = (self.database.clone(), self.may_leave_running);
        // A thread of its own: the test's runtime is on its way out.
        let (running, leak) = std::thread::spawn(move || server::drop_database(&database)).join().unwrap();
        assert!(leak.is_none(), "the tables show data to everybody: {leak:?}");
        canary::assert_silent();
        assert!(may_leave_running || running == 0, "the test ends with {running} running jobs");
    }
}
