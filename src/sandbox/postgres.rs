//! A private PostgreSQL server: its own directory, port and password; gone when we are gone.

mod cluster;

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_postgres::NoTls;
use uuid::Uuid;

use super::binaries::{self, Binaries, UnixAccount};
use super::watchdog::{Watchdog, signal};

/// The superuser's name.
const SUPERUSER: &str = "postgres";
/// How long a start may take, also on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an immediate stop may take before the process is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Ports lost to others between looking and starting.
const PORT_TRIES: u32 = 5;

/// What a [`Postgres`] is started with.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The server's limit of connections.
    pub max_connections: u32,
    /// More settings for the server, by name and value. They win over ours.
    pub settings: Vec<(String, String)>,
    /// Environment of the server process; programs that `COPY … TO PROGRAM` starts inherit it.
    pub environment: Vec<(String, String)>,
    /// Put everything here and leave it behind. Must be missing or empty: a database that we did not create is never touched.
    pub keep_dir: Option<PathBuf>,
}

impl Default for PostgresOptions {
    fn default() -> PostgresOptions {
        PostgresOptions { max_connections: 200, settings: Vec::new(), environment: Vec::new(), keep_dir: None }
    }
}

/// A running private server.
///
/// `stop` or dropping it ends the server and removes its directory; so does the death of our process, by whatever cause. Dropping blocks
/// for the moment that takes.
#[derive(Debug)]
pub struct Postgres {
    binaries: Binaries,
    options: PostgresOptions,
    account: Option<UnixAccount>,
    dir: PathBuf,
    password: String,
    port: u16,
    server: Option<Child>,
    watchdog: Watchdog,
}

impl Postgres {
    /// Creates a database cluster and starts its server; returns when it accepts connections.
    pub async fn start(options: &PostgresOptions) -> anyhow::Result<Postgres> {
        let mut postgres = Postgres::prepare(options).await?;
        postgres.launch().await?;
        Ok(postgres)
    }

    /// Makes the directory, and sees to it that it goes with us. The server comes with [`Postgres::launch`].
    pub(super) async fn prepare(options: &PostgresOptions) -> anyhow::Result<Postgres> {
        let binaries = tokio::task::spawn_blocking(binaries::find).await??;
        let dir = create_dir(options.keep_dir.as_deref())?;
        // From here on the directory is removed whatever happens.
        let watchdog = Watchdog::start(&dir, options.keep_dir.is_some())?;
        let account = binaries::unprivileged(&dir)?;
        Ok(Postgres {
            binaries,
            options: options.clone(),
            account,
            dir,
            password: Uuid::new_v4().simple().to_string(),
            port: 0,
            server: None,
            watchdog,
        })
    }

    /// More environment for the server, before it is launched.
    pub(super) fn add_environment(&mut self, more: Vec<(String, String)>) {
        self.options.environment.extend(more);
    }

    /// Creates the cluster and starts the server on a free port.
    pub(super) async fn launch(&mut self) -> anyhow::Result<()> {
        self.init().await?;
        self.launch_on_free_port().await
    }

    /// Starts the server over a cluster that is there.
    pub(super) async fn launch_on_free_port(&mut self) -> anyhow::Result<()> {
        for _ in 1..PORT_TRIES {
            self.port = free_port()?;
            match self.run().await {
                Err(_) if self.port_was_lost() => {}
                settled => return settled,
            }
        }
        self.port = free_port()?;
        self.run().await
    }

    /// A URL of the superuser for the database `postgres`.
    pub fn superuser_url(&self) -> String {
        self.url(SUPERUSER, &self.password, "postgres")
    }

    /// A URL of the superuser for any database.
    pub fn superuser_url_for(&self, database: &str) -> String {
        self.url(SUPERUSER, &self.password, database)
    }

    /// A URL over TCP.
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        let [user, password, database] = [user, password, database].map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string());
        format!("postgresql://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// A command for people: psql as the superuser.
    pub fn psql_command(&self, database: &str) -> String {
        format!("psql '{}'", self.superuser_url_for(database))
    }

    /// The directory of the Unix socket.
    pub fn socket_dir(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// The port on 127.0.0.1 (and in the socket's name).
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory that goes with the server. Others may enter it, and not list it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The server's log.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// The major version, for example 15.
    pub fn major_version(&self) -> u32 {
        self.binaries.major
    }

    /// The server's process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Gives a directory or file to the user that the database runs as.
    pub fn hand_over(&self, path: &Path) -> anyhow::Result<()> {
        match &self.account {
            Some(account) => chown(path, Some(account.uid), Some(account.gid)).with_context(|| format!("chown {}", path.display())),
            None => Ok(()),
        }
    }

    /// Ends the server at once, as a crash would: no checkpoint, all connections cut. The data stay; [`Postgres::restart`] recovers them.
    pub async fn crash(&mut self) -> anyhow::Result<()> {
        self.down("QUIT").await
    }

    /// Starts the server again on the same port and data; stops it first when it runs.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.down("INT").await?;
        self.run().await
    }

    /// Ends the server and removes its directory (unless it is kept). The server may be down already.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        // What is kept is shut down in order; what is removed need not be.
        self.down(if self.options.keep_dir.is_some() { "INT" } else { "QUIT" }).await?;
        tokio::task::spawn_blocking(move || self.watchdog.finish()).await.context("wait for the watchdog")
    }

    async fn down(&mut self, how: &str) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.take() {
            signal(server.id(), how);
            let waited = tokio::task::spawn_blocking(move || reap(&mut server, STOP_TIMEOUT)).await;
            waited.context("wait for the server to end")?;
        }
        self.watchdog.watch(None)
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.log_path()).context("open the server's log")?;
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data_dir());
        for (name, value) in self.settings() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().context("share the server's log")?).stderr(log);
        let server = command.spawn().context("start postgres")?;
        self.watchdog.watch(Some(server.id()))?;
        self.server = Some(server);
        let ready = self.until_ready().await;
        if ready.is_err() {
            self.down("QUIT").await?;
        }
        ready
    }

    /// Polls: there is nothing to wait on while a server starts.
    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let url = self.superuser_url();
        loop {
            let attempt = tokio::time::timeout(Duration::from_secs(5), tokio_postgres::connect(&url, NoTls)).await;
            if let Ok(Ok(_)) = attempt {
                return Ok(());
            }
            if let Some(status) = self.server.as_mut().map(Child::try_wait).transpose().context("look after the server")?.flatten() {
                anyhow::bail!("the database server ended while it started ({status}); its log ends:\n{}", self.log_tail());
            }
            anyhow::ensure!(
                begun.elapsed() < START_TIMEOUT,
                "the database server did not accept connections within {} s; its log ends:\n{}",
                START_TIMEOUT.as_secs(),
                self.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A server program with a small environment, as the database's user, in a process group that Ctrl-C in a terminal does not reach.
    pub(super) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.dir.join(name));
        command.env_clear().envs(binaries::small_environment());
        command.envs(self.options.environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
        command.current_dir(&self.dir).process_group(0);
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn port_was_lost(&self) -> bool {
        self.log_tail().contains("could not bind")
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.watchdog.release();
        if let Some(server) = &mut self.server {
            // The watchdog has the server ended; the server is our child and stays until we have taken note.
            reap(server, STOP_TIMEOUT);
        }
        self.watchdog.finish();
    }
}

/// Waits for a child that was told to end; after the limit it is killed.
fn reap(child: &mut Child, limit: Duration) {
    let begun = Instant::now();
    while let Ok(None) = child.try_wait() {
        if begun.elapsed() > limit {
            drop(child.kill());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn create_dir(keep: Option<&Path>) -> anyhow::Result<PathBuf> {
    let dir = match keep {
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
            let dir = dir.canonicalize().with_context(|| format!("find {}", dir.display()))?;
            let empty = dir.read_dir().with_context(|| format!("read {}", dir.display()))?.next().is_none();
            anyhow::ensure!(empty, "{} is not empty: the sandbox touches no database that it did not create", dir.display());
            dir
        }
        None => {
            let dir = tempfile::Builder::new().prefix("exportbox-").tempdir_in(binaries::open_temp_dir());
            dir.context("create a temporary directory")?.keep()
        }
    };
    // The database's user must be able to pass.
    std::fs::set_permissions(&dir, Permissions::from_mode(0o711)).with_context(|| format!("open {} to the database", dir.display()))?;
    Ok(dir)
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("look for a free port")?;
    Ok(listener.local_addr().context("look for a free port")?.port())
}
