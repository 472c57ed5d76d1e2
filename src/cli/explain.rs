//! `explain`: why each job of an export is where it is, in words.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::health::admin;
use super::print::{field, printable};
use crate::config::DatabaseArgs;

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// The export's id
    id: Uuid,
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn explain(database: &DatabaseArgs, args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let jobs = admin(database).await?.explain(args.id).await?;
    if args.json {
        println!("{}", json!({"id": args.id, "jobs": jobs}));
        return Ok(ExitCode::SUCCESS);
    }
    for job in &jobs {
        let number = job["job_id"].as_str().map(|id| format!(" job {id}")).unwrap_or_default();
        let (state, reason) = (field(job, "state"), field(job, "reason"));
        if state == "completed" {
            println!("{}{number}: completed", field(job, "kind"));
            continue;
        }
        println!("{}{number}: {state}{}", field(job, "kind"), if reason == state { String::new() } else { format!(", {reason}") });
        for column in ["sentence", "what_to_do"] {
            println!("    {}", printable(job[column].as_str().unwrap_or_default()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
