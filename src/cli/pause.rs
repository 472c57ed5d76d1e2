//! `pause`, `resume` and `priority`: what may start, and in which order.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::health::admin;
use super::print::{counted, field, printable, table};
use crate::config::DatabaseArgs;

#[derive(Args)]
pub(super) struct PauseArgs {
    /// all, exports, deliveries, report:NAME (its mails too) or source:NAME; without it, what is paused is listed
    scope: Option<String>,
    /// Why, such as a ticket's number: everybody who asks why something waits reads it, so no addresses
    #[arg(long, requires = "scope")]
    reason: Option<String>,
    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct ResumeArgs {
    /// What was paused, as `exportbox pause` lists it
    scope: String,
    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct PriorityArgs {
    /// The export's id
    id: Uuid,
    /// 0 (first) to 9 (last)
    #[arg(value_parser = clap::value_parser!(i32).range(0..=9))]
    priority: i32,
    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn pause(database: &DatabaseArgs, args: &PauseArgs) -> anyhow::Result<ExitCode> {
    let admin = admin(database).await?;
    let Some(scope) = &args.scope else {
        let pauses = admin.pauses().await?;
        if args.json {
            println!("{}", json!({"pauses": pauses}));
        } else if pauses.is_empty() {
            println!("nothing is paused");
        } else {
            let columns = ["scope", "paused_at", "paused_by", "reason"];
            let rows: Vec<Vec<String>> = pauses.iter().map(|pause| columns.map(|column| field(pause, column)).to_vec()).collect();
            table(&["PAUSED", "SINCE (UTC)", "BY", "REASON"], &rows);
        }
        return Ok(ExitCode::SUCCESS);
    };
    let is_new = admin.pause(scope, args.reason.as_deref()).await?;
    if args.json {
        println!("{}", json!({"scope": scope, "paused": true, "is_new": is_new}));
    } else if is_new {
        println!("{} is paused; what runs goes on. End it with: exportbox resume {0}", printable(scope));
    } else {
        println!("{} was paused already, and stays so", printable(scope));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn resume(database: &DatabaseArgs, args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    let admin = admin(database).await?;
    let was_paused = admin.resume(&args.scope).await?;
    let left = admin.pauses().await?;
    if args.json {
        println!("{}", json!({"scope": args.scope, "resumed": was_paused, "pauses": left}));
    } else {
        println!("{} {}", printable(&args.scope), if was_paused { "is resumed" } else { "was not paused" });
        for pause in &left {
            println!("still paused: {}", field(pause, "scope"));
        }
    }
    Ok(if was_paused { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) async fn priority(database: &DatabaseArgs, args: &PriorityArgs) -> anyhow::Result<ExitCode> {
    let jobs = admin(database).await?.set_priority(args.id, args.priority).await?;
    if args.json {
        println!("{}", json!({"id": args.id, "priority": args.priority, "jobs": jobs}));
    } else if jobs == 0 {
        println!("{}: nothing of it waits with another priority; what runs or is done has none to change", args.id);
    } else {
        println!("{}: {} moved to priority {}", args.id, counted(i64::from(jobs), "job"), args.priority);
    }
    Ok(if jobs == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
