//! Where the job tables are.

use std::fmt;

use anyhow::Context;
use clap::Args;

use crate::database::DatabaseUrl;
use crate::secret::Secret;

/// Where the job tables are. All that the commands for people need.
#[derive(Args, Clone)]
pub struct DatabaseArgs {
    /// The database that holds the outbox: postgres://user:password@host:5432/database, with libpq's sslmode up to verify-full,
    /// sslrootcert, sockets and several hosts. Without it, DATABASE_URL is used
    #[arg(long, env = "EXPORTBOX_DATABASE_URL", hide_env_values = true, value_name = "URL", global = true)]
    pub database_url: Option<Secret>,
    /// A pooler in transaction mode (PgBouncer, RDS Proxy, Supavisor) stands before the outbox's database. Then no statement has a name, no
    /// session has settings, and no wake arrives unless EXPORTBOX_DIRECT_URL is set
    #[arg(long, env = "EXPORTBOX_POOLED", value_parser = clap::builder::BoolishValueParser::new(), global = true)]
    pub pooled: bool,
    /// The outbox's database without the pooler: for the one connection that waits for wakes, and for migrate
    #[arg(long, env = "EXPORTBOX_DIRECT_URL", hide_env_values = true, value_name = "URL", global = true)]
    pub direct_url: Option<Secret>,
}

/// Secrets are in the URL.
impl fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseArgs(…)")
    }
}

impl DatabaseArgs {
    /// The database.
    ///
    /// # Errors
    /// Neither variable is set, or the URL is wrong.
    pub fn database(&self) -> anyhow::Result<DatabaseUrl> {
        let url = self.database_url.clone().filter(|url| !url.is_empty()).or_else(|| std::env::var("DATABASE_URL").ok().map(Secret::from));
        let url = url.context(
            "no database: set EXPORTBOX_DATABASE_URL (or DATABASE_URL), for example postgres://user:password@host:5432/database",
        )?;
        Ok(DatabaseUrl::parse(url.reveal()).context("EXPORTBOX_DATABASE_URL")?.behind_pooler(self.pooled))
    }

    /// The database without the pooler, if its URL is set.
    ///
    /// # Errors
    /// The URL is wrong.
    pub fn direct(&self) -> anyhow::Result<Option<DatabaseUrl>> {
        let url = self.direct_url.as_ref().filter(|url| !url.is_empty());
        url.map(|url| DatabaseUrl::parse(url.reveal()).context("EXPORTBOX_DIRECT_URL")).transpose()
    }
}
