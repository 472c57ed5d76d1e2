//! `cancel`, `requeue` and `erase`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::look::queue;
use super::print::counted;
use crate::config::DatabaseArgs;

#[derive(Args)]
pub(super) struct IdArgs {
    /// The export's id, as the INSERT returned it
    id: Uuid,
    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct EraseArgs {
    /// The address; - reads it from standard input, so that no list of processes shows it
    address: String,
    /// Why, such as a ticket's number; kept, so no addresses
    #[arg(long)]
    reason: Option<String>,
    /// Only say what would be touched
    #[arg(long)]
    dry_run: bool,
    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn cancel(database: &DatabaseArgs, args: &IdArgs) -> anyhow::Result<ExitCode> {
    let said = queue(database).await?.cancel(args.id).await?;
    if args.json {
        println!("{}", json!({"id": args.id, "result": said}));
    } else {
        println!(
            "{}: {said}{}",
            args.id,
            if said == "cancelling" { " (its worker stops it within a heartbeat; follow with: exportbox watch)" } else { "" }
        );
    }
    Ok(if said == "nothing to cancel" { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(super) async fn requeue(database: &DatabaseArgs, args: &IdArgs) -> anyhow::Result<ExitCode> {
    let jobs = queue(database).await?.requeue(args.id).await?;
    if args.json {
        println!("{}", json!({"id": args.id, "jobs": jobs}));
    } else if jobs == 0 {
        println!("{}: nothing to requeue; only dead and cancelled jobs can be", args.id);
    } else {
        println!("{}: {jobs} job{} requeued", args.id, if jobs == 1 { "" } else { "s" });
    }
    Ok(if jobs == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(super) async fn erase(database: &DatabaseArgs, args: &EraseArgs) -> anyhow::Result<ExitCode> {
    let mut address = args.address.clone();
    if address == "-" {
        address.clear();
        std::io::stdin().read_line(&mut address).context("read the address")?;
    }
    let said = queue(database).await?.erase(address.trim(), args.reason.as_deref(), args.dry_run).await?;
    if args.json {
        println!("{said}");
        return Ok(ExitCode::SUCCESS);
    }
    let count = |name: &str, noun: &str| counted(said[name].as_i64().unwrap_or_default(), noun);
    println!(
        "{} {} and {}; {} cancelled, {} asked to stop; {} of its own removed by the next sweep of a worker",
        if args.dry_run { "would be erased from" } else { "erased from" },
        count("requests", "request"),
        count("deliveries", "mail"),
        count("cancelled", "job"),
        said["asked_to_stop"],
        count("objects", "file"),
    );
    if said["schedules"] != 0 {
        println!("{}; those for or about this person alone are disabled", count("schedules", "schedule"));
    }
    println!("keyed hash  {}", said["address_hash"].as_str().unwrap_or_default());
    for report in said["reports"].as_array().into_iter().flatten() {
        println!("the text of report {report} names the address: register it anew without");
    }
    Ok(ExitCode::SUCCESS)
}
