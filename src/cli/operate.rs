//! `cancel` and `requeue`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::look::queue;
use crate::config::DatabaseArgs;

#[derive(Args)]
pub(super) struct IdArgs {
    /// The export's id, as the INSERT returned it
    id: Uuid,
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
