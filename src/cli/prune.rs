//! `prune`: delete what is old enough now, in batches.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::health::admin;
use super::print::{counted, size};
use super::usage;
use crate::config::{DatabaseArgs, RetentionArgs};

/// Exports in one transaction.
const BATCH: i32 = 1000;
/// Exports that a dry run counts at most.
const MOST_COUNTED: i32 = 1_000_000;

#[derive(Args)]
pub(super) struct PruneArgs {
    #[command(flatten)]
    retention: RetentionArgs,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Print the counts as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn prune(database: &DatabaseArgs, args: &PruneArgs) -> anyhow::Result<ExitCode> {
    let rules = args.retention.rules();
    if !rules.prunes() {
        return Err(usage(anyhow::anyhow!("everything is kept for ever: set --keep-completed, --keep-dead or --keep-cancelled to an age")));
    }
    let admin = admin(database).await?;
    admin.check_schema().await?;
    let names = ["exports", "completed", "dead", "cancelled", "files", "bytes", "notices"];
    let mut total = names.map(|_| 0_i64);
    loop {
        let said = admin.prune(&rules, if args.dry_run { MOST_COUNTED } else { BATCH }, args.dry_run).await?;
        for (sum, name) in total.iter_mut().zip(names) {
            *sum += said[name].as_i64().unwrap_or_default();
        }
        if args.dry_run || said["exports"] == 0 && said["notices"] == 0 {
            break;
        }
    }
    let [exports, completed, dead, cancelled, files, bytes, notices] = total;
    if args.json {
        let mut said: Value = names.iter().zip(total).map(|(name, sum)| ((*name).to_string(), Value::from(sum))).collect();
        said["dry_run"] = json!(args.dry_run);
        println!("{said}");
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{} {} ({completed} completed, {dead} dead, {cancelled} cancelled)",
        if args.dry_run { "would prune" } else { "pruned" },
        counted(exports, "export")
    );
    let by = if rules.leave_objects {
        "left to the bucket's lifecycle rule"
    } else {
        "removed by the next worker that looks, within ten minutes of a run"
    };
    println!("{}, {}: {by}", counted(files, "file"), size(bytes.unsigned_abs()));
    println!("{} about failures", counted(notices, "mail"));
    Ok(ExitCode::SUCCESS)
}
