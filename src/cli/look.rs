//! `status`, `show`, `watch` and `health`: the views, for people and with `--json` for programs.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use uuid::Uuid;

use super::print::{amount, counted, field, printable, table};
use super::usage;
use crate::config::DatabaseArgs;
use crate::queue::{Policy, Queue};

#[derive(Args)]
pub(super) struct StatusArgs {
    /// How many of the newest exports to list
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i64).range(0..=1000))]
    limit: i64,
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct ShowArgs {
    /// The export's id
    id: Uuid,
    /// Show e-mail addresses in clear, where this login may see them; masked otherwise, also in JSON
    #[arg(long)]
    show_addresses: bool,
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct WatchArgs {
    /// The export's id
    id: Uuid,
    /// Print a line of JSON at each change
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct HealthArgs {
    /// Print the health view as one line of JSON
    #[arg(long)]
    json: bool,
}

/// The job tables for a command of a person.
pub(super) async fn queue(database: &DatabaseArgs) -> anyhow::Result<Queue> {
    let database = database.database().map_err(usage)?;
    Ok(Queue::new(&database, format!("cli:{}", std::process::id()), Policy::default()))
}

pub(super) async fn health(database: &DatabaseArgs, args: &HealthArgs) -> anyhow::Result<ExitCode> {
    let queue = queue(database).await?;
    queue.check_schema().await?;
    let health = queue.health().await?;
    if args.json {
        println!("{health}");
    } else {
        print_health(&health);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_health(health: &Value) {
    println!(
        "{} due (oldest for {}), {} waiting (next {}), {} running, {} dead, {} workers",
        field(health, "due"),
        field(health, "oldest_due_age"),
        field(health, "waiting"),
        field(health, "next_due_at"),
        field(health, "running"),
        field(health, "dead"),
        field(health, "workers"),
    );
    if let Some(reason) = health["on_hold"].as_str() {
        println!("ON HOLD  {}", printable(reason));
    }
    if let Some(pauses) = health["pauses"].as_str() {
        println!("PAUSED  {}; {} waiting for that", printable(pauses), counted(health["paused"].as_i64().unwrap_or_default(), "job"));
    }
    if let Some(alarm) = health["snapshot_alarm"].as_str() {
        println!("SNAPSHOT  {}", printable(alarm));
    } else if !health["snapshot_holder"].is_null() {
        let age = if health["snapshot_age"].is_null() { "an unknown time".into() } else { field(health, "snapshot_age") };
        println!(
            "oldest snapshot: open for {age}, {} transactions, {}",
            field(health, "snapshot_transactions"),
            field(health, "snapshot_holder"),
        );
    }
}

pub(super) async fn status(database: &DatabaseArgs, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let queue = queue(database).await?;
    let mut status = queue.status().await?;
    let recent = queue.recent(args.limit).await?;
    if args.json {
        status["exports"] = json!(recent);
        println!("{status}");
        return Ok(ExitCode::SUCCESS);
    }
    print_health(&status);
    if recent.is_empty() {
        println!("\nno exports that this login may see: insert a row into exportbox.outbox, or grant exportbox_reader to this login");
        return Ok(ExitCode::SUCCESS);
    }
    println!();
    let rows: Vec<Vec<String>> = recent
        .iter()
        .map(|export| {
            vec![
                field(export, "id"),
                field(export, "state"),
                field(export, "requested_at"),
                field(export, "report"),
                amount(export),
                // What went wrong before it went right is in: exportbox show.
                export["error"].as_str().filter(|_| export["state"] != "completed").map(printable).unwrap_or_default(),
            ]
        })
        .collect();
    table(&["EXPORT", "STATE", "REQUESTED (UTC)", "REPORT", "RESULT", "LAST ERROR"], &rows);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(database: &DatabaseArgs, args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let story = queue(database).await?.story(args.id, args.show_addresses).await?.with_context(|| no_such_export(args.id))?;
    if args.json {
        println!("{}", serde_json::to_string(&story)?);
        return Ok(ExitCode::SUCCESS);
    }
    let export = &story.export;
    println!("export     {}", args.id);
    println!("state      {}", field(export, "state"));
    println!("requested  {} UTC by {}", field(export, "requested_at"), field(export, "requested_by"));
    for (label, name) in [("report", "report"), ("started", "started_at"), ("finished", "finished_at"), ("as of", "as_of")] {
        if !export[name].is_null() {
            println!("{label:<9}  {}", field(export, name));
        }
    }
    let result = amount(export);
    if !result.is_empty() {
        println!("result     {result}");
    }
    if !export["error"].is_null() {
        println!("error      {} [{}]", field(export, "error"), field(export, "error_class"));
    }
    let section = |title: &str, header: &[&str], columns: &[&str], rows: &[Value]| {
        if !rows.is_empty() {
            println!("\n{title}");
            let rows: Vec<Vec<String>> = rows.iter().map(|row| columns.iter().map(|column| field(row, column)).collect()).collect();
            table(header, &rows);
        }
    };
    section("FILES", &["PART", "BYTES", "CHECKSUM", "KEY"], &["part", "bytes", "checksum", "key"], &story.objects);
    section(
        "MAILS",
        &["RECIPIENT", "STATUS", "PROVIDER", "LINK DIES (UTC)", "ERROR"],
        &["recipient", "status", "provider", "link_expires_at", "error"],
        &story.deliveries,
    );
    section(
        "ATTEMPTS",
        &["KIND", "NO", "STARTED (UTC)", "FINISHED (UTC)", "OUTCOME", "EXPORTER", "ERROR"],
        &["kind", "number", "started_at", "finished_at", "outcome", "exporter", "error"],
        &story.attempts,
    );
    let hidden = story.attempts.iter().any(|attempt| !attempt["error"].is_null() && attempt["error_detail"].is_null());
    if hidden {
        println!("\nThe other side's own words are for members of exportbox_operator.");
    }
    for dead in &story.dead {
        println!("\nto do about the dead {}: {}", field(dead, "kind"), field(dead, "what_to_do"));
    }
    for attempt in &story.attempts {
        if let Some(detail) = attempt["error_detail"].as_str() {
            println!("\nin the other side's words (attempt {} of the {}):", field(attempt, "number"), field(attempt, "kind"));
            detail.lines().for_each(|line| println!("  {}", printable(line)));
        }
    }
    section("EVENTS", &["AT (UTC)", "WHAT", "BY", "DETAIL"], &["at", "kind", "actor", "detail"], &story.events);
    Ok(ExitCode::SUCCESS)
}

fn no_such_export(id: Uuid) -> String {
    format!("there is no export {id}, or this login may not see it; list them with: exportbox status")
}

/// Progress is written by heartbeats; looking more often shows nothing new.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn watch(database: &DatabaseArgs, args: &WatchArgs) -> anyhow::Result<ExitCode> {
    let queue = queue(database).await?;
    let bar = if std::io::stderr().is_terminal() && !args.json { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}").context("progress template")?);
    bar.enable_steady_tick(Duration::from_millis(120));
    let mut last = String::new();
    loop {
        let export = queue.export(args.id).await?.with_context(|| no_such_export(args.id))?;
        let state = field(&export, "state");
        let line = if args.json { export.to_string() } else { watch_line(&export, &state) };
        let is_final = matches!(state.as_str(), "completed" | "dead" | "cancelled");
        if line != last {
            bar.set_message(line.clone());
            if bar.is_hidden() || is_final {
                bar.suspend(|| println!("{line}"));
            }
            last = line;
        }
        if is_final {
            bar.finish_and_clear();
            let delivered = export["undelivered"].as_i64().unwrap_or_default() == 0;
            return Ok(if state == "completed" && delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn watch_line(export: &Value, state: &str) -> String {
    let mut parts = vec![state.to_string()];
    let result = amount(export);
    if !result.is_empty() {
        parts.push(result);
    }
    if state == "delivering" || state == "completed" {
        parts.push(counted(export["mails"].as_i64().unwrap_or_default(), "mail"));
    }
    if let Some(undelivered) = export["undelivered"].as_i64().filter(|undelivered| *undelivered > 0) {
        parts.push(format!("{undelivered} of them not delivered, see: exportbox show"));
    }
    if let Some(error) = export["error"].as_str().filter(|_| state != "completed") {
        parts.push(printable(error));
    }
    parts.join("  ")
}
