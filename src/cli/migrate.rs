//! `migrate`.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;

use super::usage;
use crate::admin::migrate as schema;
use crate::config::DatabaseArgs;

#[derive(Args)]
pub(super) struct MigrateArgs {
    /// Print the SQL that would run, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print what was done as one line of JSON
    #[arg(long, conflicts_with = "dry_run")]
    json: bool,
}

pub(super) async fn migrate(database: &DatabaseArgs, args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let database = match database.direct().map_err(usage)? {
        Some(direct) => direct,
        None => database.database().map_err(usage)?,
    };
    if database.is_pooled() {
        return Err(usage(anyhow!("a migration needs a session of its own: give it EXPORTBOX_DIRECT_URL, the database past the pooler")));
    }
    let report = schema::migrate(&database, args.dry_run).await?;
    if args.dry_run {
        if let Some(setup) = report.setup {
            println!("{setup}");
        }
        for (name, sql) in report.applied.iter().zip(&report.sql) {
            println!("-- {name}\n{sql}");
        }
        if report.applied.is_empty() {
            println!("-- nothing to do: the schema has version {}", report.version);
        }
    } else if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else if report.applied.is_empty() {
        println!("nothing to do: the schema has version {}", report.version);
    } else {
        println!("applied {}; the schema has version {}", report.applied.join(", "), report.version);
    }
    Ok(ExitCode::SUCCESS)
}
