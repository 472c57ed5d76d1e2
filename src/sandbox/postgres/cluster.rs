//! The files of a private PostgreSQL server: a cluster of its own, or a copy that follows another one; and what a server is started with.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use anyhow::Context;

use super::{Postgres, PostgresOptions, SUPERUSER};

impl Postgres {
    /// A standby that streams from this server and answers reads; its superuser is the primary's. `select pg_promote()` there makes it a primary.
    pub async fn standby(&self, options: &PostgresOptions) -> anyhow::Result<Postgres> {
        let mut standby = Postgres::prepare(options).await?;
        // It has the roles of its primary, passwords included.
        standby.password.clone_from(&self.password);
        let mut copying = standby.program("pg_basebackup");
        copying.arg("--pgdata").arg(standby.data_dir()).args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname"]);
        copying.arg(self.superuser_url());
        standby.create_dirs()?;
        let output = tokio::task::spawn_blocking(move || copying.output()).await?.context("run pg_basebackup")?;
        anyhow::ensure!(output.status.success(), "pg_basebackup failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        standby.launch_on_free_port().await?;
        Ok(standby)
    }

    /// Make a cluster of its own.
    pub(super) async fn init(&self) -> anyhow::Result<()> {
        let password_file = self.dir.join("password");
        std::fs::write(&password_file, &self.password).context("write the password file")?;
        std::fs::set_permissions(&password_file, Permissions::from_mode(0o600)).context("close the password file")?;
        self.create_dirs()?;
        self.hand_over(&password_file)?;
        let mut initdb = self.program("initdb");
        initdb.arg("--pgdata").arg(self.data_dir()).arg("--pwfile").arg(&password_file);
        initdb.args(["--username", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        let output = tokio::task::spawn_blocking(move || initdb.output()).await?.context("run initdb")?;
        anyhow::ensure!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        std::fs::remove_file(&password_file).context("remove the password file")
    }

    /// The directories that belong to the database's user.
    pub(super) fn create_dirs(&self) -> anyhow::Result<()> {
        for dir in [self.data_dir(), self.socket_dir()] {
            std::fs::create_dir(&dir).context("create a directory for the database")?;
            self.hand_over(&dir)?;
        }
        std::fs::set_permissions(self.data_dir(), Permissions::from_mode(0o700)).context("close the data directory")
    }

    /// What every server of ours is started with.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let socket_dir = self.socket_dir().to_string_lossy().into_owned();
        // A socket's address holds about 100 bytes; in a deep directory the server does with TCP.
        let socket_dir = if socket_dir.len() > 85 { String::new() } else { socket_dir };
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &self.port.to_string()),
            ("unix_socket_directories", &socket_dir),
            ("max_connections", &self.options.max_connections.to_string()),
            ("password_encryption", "scram-sha-256"),
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
            ("log_min_messages", "warning"),
            // What is private in a statement must not reach a file that people pass on.
            ("log_min_error_statement", "panic"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
        ];
        let ours = ours.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        ours.chain(self.options.settings.iter().cloned()).collect()
    }
}
