//! A streaming standby of a private PostgreSQL server, for failovers.

use anyhow::Context;

use super::postgres::{Postgres, PostgresOptions};

impl Postgres {
    /// A standby that streams from this server and answers reads; its superuser is the primary's. `select pg_promote()` there makes it a primary.
    pub async fn standby(&self, options: &PostgresOptions) -> anyhow::Result<Postgres> {
        let mut standby = Postgres::prepare(options).await?;
        standby.share_password_of(self);
        let mut copying = standby.program("pg_basebackup");
        copying.arg("--pgdata").arg(standby.data_dir()).args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname"]);
        copying.arg(self.superuser_url());
        standby.create_dirs()?;
        let output = tokio::task::spawn_blocking(move || copying.output()).await?.context("run pg_basebackup")?;
        anyhow::ensure!(output.status.success(), "pg_basebackup failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        standby.launch_on_free_port().await?;
        Ok(standby)
    }
}
