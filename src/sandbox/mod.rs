//! Private stand-ins on one machine: a PostgreSQL server of our own, S3 (s3s with s3s-fs), SES, and RDS's extension aws_s3. The demo, the
//! tests, the benchmarks and people who develop against exportbox stand on it.
//!
//! Must not know: the daemon and its rooms. It speaks only the protocols of those it stands in for, errors included, so that the real SDKs and
//! drivers are what is tested. Departures from AWS are written at the item that departs.
//!
//! Keeps: nothing outlives its owner, not even when that is killed; no database is touched that was not created here.

pub mod aws_s3;
mod binaries;
mod body_check;
pub mod faults;
mod front;
mod mailbox;
pub mod postgres;
pub mod s3;
mod s3_capacity;
mod s3_listings;
mod s3_put;
mod s3_store;
pub mod ses;
mod ses_calls;
mod ses_send;
mod uploads;
mod watchdog;
mod wire;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

pub use aws_s3::Place;
pub use faults::{Action, Faults, Rule};
pub use mailbox::StoredMail;
pub use postgres::{Postgres, PostgresOptions};
pub use s3::{OpenUpload, S3, S3Options};
pub use ses::{Ses, SesOptions};

/// The login role that the daemon uses in a sandbox. No superuser; [`Sandbox::grant_daemon`] makes it a worker.
pub const DAEMON: &str = "exportbox_daemon";

/// What a [`Sandbox`] is started with.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The database server. Its `keep_dir`, when set, holds the whole sandbox and is left behind.
    pub postgres: PostgresOptions,
    /// The exportbox binary that the aws_s3 stand-in runs; none: the running program.
    pub program: Option<PathBuf>,
    /// The bucket that exists from the start.
    pub bucket: String,
    /// The region that everything plays.
    pub region: String,
    /// The sender that the daemon is to use.
    pub mail_from: String,
    /// The address on which S3 and SES listen. The database stays on 127.0.0.1.
    pub host: IpAddr,
    /// S3's port; none: a free one.
    pub s3_port: Option<u16>,
    /// The port of SES and its mail list; none: a free one.
    pub ses_port: Option<u16>,
    /// How SES behaves; its directory, address, port, region and key are set by the sandbox.
    pub ses: SesOptions,
    /// The access key that S3 and SES know; none: a fixed name with a random secret.
    pub credentials: Option<(String, String)>,
}

impl Default for SandboxOptions {
    fn default() -> SandboxOptions {
        SandboxOptions {
            postgres: PostgresOptions::default(),
            program: None,
            bucket: "exports".into(),
            region: "eu-west-1".into(),
            mail_from: "Exportbox <exports@example.com>".into(),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            s3_port: None,
            ses_port: None,
            ses: SesOptions::default(),
            credentials: None,
        }
    }
}

/// All stand-ins, running. Dropping it, or our death, ends them and removes what they stored.
pub struct Sandbox {
    /// The database server.
    pub postgres: Postgres,
    /// The object store.
    pub s3: S3,
    /// The mail service.
    pub ses: Ses,
    options: SandboxOptions,
    credentials: (String, String),
    daemon_password: String,
    place: Place,
}

impl Sandbox {
    /// Starts all three, creates the bucket and the daemon's login role.
    pub async fn start(options: SandboxOptions) -> anyhow::Result<Sandbox> {
        let mut postgres = Postgres::prepare(&options.postgres).await?;
        let credentials = options.credentials.clone().unwrap_or_else(|| ("SANDBOXACCESSKEY".into(), Uuid::new_v4().simple().to_string()));
        let s3 = S3::start(&S3Options {
            dir: postgres.dir().join("s3"),
            access_key: credentials.0.clone(),
            secret_key: credentials.1.clone(),
            buckets: vec![options.bucket.clone()],
            host: options.host,
            port: options.s3_port,
        })
        .await
        .context("start the S3 stand-in")?;
        let ses = Ses::start(&SesOptions {
            dir: postgres.dir().join("mails"),
            host: options.host,
            port: options.ses_port,
            region: options.region.clone(),
            access_key: Some(credentials.0.clone()),
            ..options.ses.clone()
        })
        .await
        .context("start the SES stand-in")?;
        let results = postgres.dir().join("results");
        std::fs::create_dir(&results).context("create the directory for results of aws_s3")?;
        postgres.hand_over(&results)?;
        let program = aws_s3::place_program(options.program.as_deref(), postgres.dir())?;
        let place = Place { program, results, region: options.region.clone() };
        let daemon_password = Uuid::new_v4().simple().to_string();
        // The program behind aws_s3 inherits these from the server.
        postgres.add_environment(aws_environment(&s3, &ses, &options.region, &credentials));
        postgres.launch().await.context("start the private PostgreSQL")?;
        let sandbox = Sandbox { postgres, s3, ses, options, credentials, daemon_password, place };
        let client = connect(&sandbox.postgres.superuser_url()).await?;
        // A hexadecimal password needs no escape.
        let create = format!("create role {DAEMON} login password '{}'", sandbox.daemon_password);
        client.batch_execute(&create).await.context("create the daemon's login role")?;
        Ok(sandbox)
    }

    /// Creates a database with the aws_s3 stand-in in it, which nobody may use yet.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        let client = connect(&self.postgres.superuser_url()).await?;
        client.batch_execute(&format!("create database \"{}\"", name.replace('"', "\"\""))).await.context("create the database")?;
        aws_s3::install(&self.connect(name).await?, &self.place).await
    }

    /// A connection as the superuser.
    pub async fn connect(&self, database: &str) -> anyhow::Result<Client> {
        connect(&self.postgres.superuser_url_for(database)).await
    }

    /// Makes the daemon's login role a worker, in a database where the migrations have run. The client is a superuser.
    pub async fn grant_daemon(&self, client: &Client) -> anyhow::Result<()> {
        client.batch_execute(&format!("grant exportbox_worker to {DAEMON}")).await.context("make the daemon's role a worker")
    }

    /// Lets a role export through the aws_s3 stand-in. The client is a superuser of that database.
    pub async fn grant_aws_s3(&self, client: &Client, role: &str) -> anyhow::Result<()> {
        aws_s3::grant_to(client, role).await
    }

    /// The environment for a daemon, by name and value.
    pub fn environment(&self, database: &str) -> Vec<(String, String)> {
        let ours = [
            ("EXPORTBOX_DATABASE_URL", self.postgres.url(DAEMON, &self.daemon_password, database)),
            ("EXPORTBOX_BUCKET", self.options.bucket.clone()),
            ("EXPORTBOX_MAIL", "ses".into()),
            ("EXPORTBOX_MAIL_FROM", self.options.mail_from.clone()),
        ];
        let ours = ours.into_iter().map(|(name, value)| (name.to_owned(), value));
        ours.chain(aws_environment(&self.s3, &self.ses, &self.options.region, &self.credentials)).collect()
    }

    /// The bucket that exists from the start.
    pub fn bucket(&self) -> &str {
        &self.options.bucket
    }

    /// The directory that holds everything.
    pub fn dir(&self) -> &Path {
        self.postgres.dir()
    }

    /// Ends everything and removes what was stored (unless it is kept).
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.s3.stop().await;
        self.ses.stop().await;
        self.postgres.stop().await
    }
}

/// What an AWS SDK needs to find the stand-ins and nothing else: no profile of the user, no instance metadata.
fn aws_environment(s3: &S3, ses: &Ses, region: &str, credentials: &(String, String)) -> Vec<(String, String)> {
    let variables = [
        ("AWS_REGION", region),
        ("AWS_ACCESS_KEY_ID", &credentials.0),
        ("AWS_SECRET_ACCESS_KEY", &credentials.1),
        ("AWS_ENDPOINT_URL_S3", &s3.endpoint()),
        ("AWS_ENDPOINT_URL_SESV2", &ses.endpoint()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("connect to the private PostgreSQL")?;
    // Ends with the client; what went wrong reaches the client's own calls.
    tokio::spawn(connection);
    Ok(client)
}
