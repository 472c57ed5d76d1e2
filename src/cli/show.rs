//! `show`: everything about one export, as it happened.

mod timeline;

use std::process::ExitCode;

use anyhow::Context;
use chrono::Utc;
use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use super::health::{admin, export_id, no_such_export};
use super::print::{amount, field, printable, table};
use super::terminal::{Terminal, instant, span};
use super::watch::pace;
use crate::admin::Story;
use crate::config::DatabaseArgs;

#[derive(Args)]
pub(super) struct ShowArgs {
    /// The export's id
    #[arg(value_parser = export_id)]
    id: Uuid,
    /// Show e-mail addresses in clear, where this login may see them; masked otherwise, also in JSON
    #[arg(long)]
    show_addresses: bool,
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn show(database: &DatabaseArgs, args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let story = admin(database).await?.story(args.id, args.show_addresses).await?.with_context(|| no_such_export(args.id))?;
    if args.json {
        println!("{}", serde_json::to_string(&story)?);
        return Ok(ExitCode::SUCCESS);
    }
    let terminal = Terminal::of_stdout();
    print_export(args.id, &story.export, terminal);
    print_timeline(&story, terminal);
    section("FILES", &["PART", "BYTES", "CHECKSUM", "KEY"], &["part", "bytes", "checksum", "key"], &story.objects);
    section(
        "MAILS",
        &["RECIPIENT", "STATUS", "PROVIDER", "LINK DIES (UTC)", "ERROR"],
        &["recipient", "status", "provider", "link_expires_at", "error"],
        &story.deliveries,
    );
    for dead in &story.dead {
        println!("\nto do about the dead {}: {}", field(dead, "kind"), field(dead, "what_to_do"));
    }
    print_raw_errors(&story);
    Ok(ExitCode::SUCCESS)
}

fn print_export(id: Uuid, export: &Value, terminal: Terminal) {
    let state = field(export, "state");
    println!("export     {id}");
    println!("state      {}", terminal.in_colour_of(&state, &state));
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
    if state == "running" {
        let progress = pace(export, Utc::now());
        if !progress.is_empty() {
            println!("progress   {}", progress.join(", "));
        }
    }
    if !export["error"].is_null() {
        println!("error      {} [{}]", field(export, "error"), field(export, "error_class"));
    }
}

fn print_timeline(story: &Story, terminal: Terminal) {
    println!("\nTIMELINE (UTC, and since the request)");
    let asked = instant(&story.export, "requested_at").unwrap_or_default();
    for moment in timeline::of(story) {
        let since = format!("+{}", span(moment.at - asked));
        println!("{}  {since:<6}  {}", moment.at.format("%Y-%m-%d %H:%M:%S"), terminal.in_colour_of(moment.state, &moment.what));
    }
}

fn section(title: &str, header: &[&str], columns: &[&str], rows: &[Value]) {
    if !rows.is_empty() {
        println!("\n{title}");
        let rows: Vec<Vec<String>> = rows.iter().map(|row| columns.iter().map(|column| field(row, column)).collect()).collect();
        table(header, &rows);
    }
}

fn print_raw_errors(story: &Story) {
    if story.attempts.iter().any(|attempt| !attempt["error"].is_null() && attempt["error_detail"].is_null()) {
        println!("\nThe other side's own words are for members of exportbox_operator.");
    }
    for attempt in &story.attempts {
        if let Some(detail) = attempt["error_detail"].as_str() {
            println!("\nin the other side's words (attempt {} of the {}):", field(attempt, "number"), field(attempt, "kind"));
            detail.lines().for_each(|line| println!("  {}", printable(line)));
        }
    }
}
