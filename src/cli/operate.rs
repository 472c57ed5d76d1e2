//! `cancel`, `requeue`, `relink`, `dead` and `erase`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::filter::{FilterArgs, ManyArgs, duration};
use super::health::admin;
use super::print::{counted, field, printable};
use crate::admin::Affected;
use crate::config::DatabaseArgs;

#[derive(Args)]
pub(super) struct RequeueArgs {
    #[command(flatten)]
    many: ManyArgs,
    /// Set the jobs off within this time from now, so that not all come at once: 10m
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s", conflicts_with = "ids")]
    spread: Duration,
}

#[derive(Args)]
pub(super) struct RelinkArgs {
    /// The export's id
    id: Uuid,
    /// Only to this address, one of the export's own; operators may name another one that the report's domains allow. - reads it from standard
    /// input, so that no list of processes shows it. Default: every recipient
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct DeadArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// How many of the newest to list
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
    /// Print each as one line of JSON
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

/// Say how many jobs of a filter were touched, to people or to programs.
fn tell(touched: Affected, done: &str, to_do: &str, as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        println!("{}", serde_json::to_string(&touched)?);
    } else {
        let (jobs, exports) = (counted(touched.jobs, "job"), counted(touched.exports, "export"));
        println!("{jobs} of {exports} {}", if touched.dry_run { to_do } else { done });
    }
    Ok(if touched.jobs == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(super) async fn cancel(database: &DatabaseArgs, args: &ManyArgs) -> anyhow::Result<ExitCode> {
    let admin = admin(database).await?;
    if args.ids.is_empty() {
        let touched = admin.cancel_where(&args.filter.filter(args.state.as_deref()), args.limit, args.dry_run).await?;
        return tell(touched, "cancelled, or asked to stop", "would be cancelled", args.json);
    }
    let mut code = ExitCode::SUCCESS;
    for id in &args.ids {
        let said = admin.cancel(*id).await?;
        if args.json {
            println!("{}", json!({"id": id, "result": said}));
        } else {
            let follow = if said == "cancelling" { " (its worker stops it within a heartbeat; follow with: exportbox watch)" } else { "" };
            println!("{id}: {said}{follow}");
        }
        if said == "nothing to cancel" {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

pub(super) async fn requeue(database: &DatabaseArgs, args: &RequeueArgs) -> anyhow::Result<ExitCode> {
    let admin = admin(database).await?;
    let many = &args.many;
    if many.ids.is_empty() {
        let filter = many.filter.filter(many.state.as_deref());
        let touched = admin.requeue_where(&filter, many.limit, many.dry_run, args.spread).await?;
        return tell(touched, "requeued", "would be requeued", many.json);
    }
    let mut code = ExitCode::SUCCESS;
    for id in &many.ids {
        let jobs = admin.requeue(*id).await?;
        if many.json {
            println!("{}", json!({"id": id, "jobs": jobs}));
        } else if jobs == 0 {
            println!("{id}: nothing to requeue; only dead and cancelled jobs can be");
        } else {
            println!("{id}: {} requeued", counted(i64::from(jobs), "job"));
        }
        if jobs == 0 {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

pub(super) async fn relink(database: &DatabaseArgs, args: &RelinkArgs) -> anyhow::Result<ExitCode> {
    let to = args.to.as_deref().map(address_from).transpose()?;
    let mails = admin(database).await?.relink(args.id, to.as_deref()).await?;
    if args.json {
        println!("{}", json!({"id": args.id, "mails": mails}));
    } else {
        println!("{}: {} with a new link on the way; follow with: exportbox watch", args.id, counted(i64::from(mails), "mail"));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn dead(database: &DatabaseArgs, args: &DeadArgs) -> anyhow::Result<ExitCode> {
    let letters = admin(database).await?.dead(None, &args.filter.filter(None), args.limit).await?;
    if args.json {
        letters.iter().for_each(|letter| println!("{letter}"));
        return Ok(ExitCode::SUCCESS);
    }
    if letters.is_empty() {
        println!("nothing is dead that this login may see and the filter names");
    }
    for letter in &letters {
        print_dead(letter);
    }
    if letters.len() == usize::try_from(args.limit).unwrap_or(usize::MAX) {
        println!("There may be more: --limit N. How many there are: exportbox requeue --state dead --dry-run");
    }
    Ok(ExitCode::SUCCESS)
}

/// One dead letter in a few lines.
fn print_dead(letter: &Value) {
    let code = letter["code"].as_str().map(|code| format!(" ({})", printable(code))).unwrap_or_default();
    let attempts = counted(letter["attempts"].as_i64().unwrap_or_default(), "attempt");
    println!(
        "{}  {} {}, died {} UTC after {attempts}: {}{code}",
        field(letter, "export_id"),
        field(letter, "kind"),
        letter["report"].as_str().map_or_else(|| "ad hoc".to_string(), |report| format!("of report {}", printable(report))),
        field(letter, "died_at"),
        field(letter, "error_class"),
    );
    if letter["first_error"] != letter["last_error"] {
        println!("  first  {}", field(letter, "first_error"));
    }
    println!("  last   {}", field(letter, "last_error"));
    println!("  to do  {}\n", field(letter, "what_to_do"));
}

/// An argument; or the first line of standard input, when the argument is `-`.
fn address_from(argument: &str) -> anyhow::Result<String> {
    let mut address = argument.to_string();
    // guard: standard input
    if argument == "-" {
        address.clear();
        std::io::stdin().read_line(&mut address).context("read the address")?;
    }
    Ok(address.trim().to_string())
}

pub(super) async fn erase(database: &DatabaseArgs, args: &EraseArgs) -> anyhow::Result<ExitCode> {
    let address = address_from(&args.address)?;
    let said = admin(database).await?.erase(&address, args.reason.as_deref(), args.dry_run).await?;
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
