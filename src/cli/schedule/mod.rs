//! `schedule add|list|show|next|disable|enable|remove`: what is requested when, from files fit for version control.

mod file;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::health::admin;
use super::print::{counted, field, printable, table};
use super::{is_file, usage};
use crate::admin::{Admin, Switch, Timetable};
use crate::config::DatabaseArgs;

#[derive(Subcommand)]
pub(super) enum ScheduleCommand {
    /// Register schedules from files, after checking what they would request
    ///
    /// The same file again changes nothing.
    ///
    /// Exit codes: 1 a schedule is refused; 2 a file, a setting or a grant is wrong.
    Add(AddScheduleArgs),
    /// List the schedules that this login may see
    List(ListSchedulesArgs),
    /// Show one schedule, and what it asks for
    Show(ScheduleNameArgs),
    /// Say when a schedule is due next: one that is registered, or a file
    Next(NextDatesArgs),
    /// Request nothing from now on
    Disable(ScheduleNameArgs),
    /// Request again from the next instant on; what was due meanwhile is not caught up
    Enable(ScheduleNameArgs),
    /// Forget a schedule; what it has requested stays
    Remove(ScheduleNameArgs),
}

#[derive(Args)]
pub(super) struct AddScheduleArgs {
    /// Files that hold one schedule each
    #[arg(required = true, value_name = "FILE.toml")]
    files: Vec<PathBuf>,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct ListSchedulesArgs {
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct ScheduleNameArgs {
    /// Name of the schedule
    name: String,
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct NextDatesArgs {
    /// A file, or the name of a registered schedule
    #[arg(value_name = "FILE.toml|NAME")]
    what: String,
    /// How many instants
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn schedule(database: &DatabaseArgs, command: &ScheduleCommand) -> anyhow::Result<ExitCode> {
    if let ScheduleCommand::Next(args) = command
        && is_file(&args.what)
    {
        // A file can be read without the database.
        return next(&args.what, &file::read(Path::new(&args.what)).map_err(usage)?.timetable, args);
    }
    let admin = admin(database).await?;
    admin.check_schema().await?;
    match command {
        ScheduleCommand::Add(args) => add(&admin, args).await,
        ScheduleCommand::List(args) => list(&admin, args).await,
        ScheduleCommand::Show(args) => show(&admin, args).await,
        ScheduleCommand::Next(args) => {
            let schedule = find(&admin, &args.what).await?;
            let word = |name: &str| schedule[name].as_str().unwrap_or_default();
            next(&args.what, &Timetable::new(word("cron"), word("time_zone"))?, args)
        }
        ScheduleCommand::Disable(args) => {
            switch(&admin, args, Switch::Disable, "requests nothing any more; what it has requested goes on").await
        }
        ScheduleCommand::Enable(args) => switch(&admin, args, Switch::Enable, "goes on from its next instant").await,
        ScheduleCommand::Remove(args) => switch(&admin, args, Switch::Remove, "is forgotten; what it has requested goes on").await,
    }
}

async fn find(admin: &Admin, name: &str) -> anyhow::Result<Value> {
    let found = admin.schedules(Some(name)).await?.into_iter().next();
    found.with_context(|| format!("there is no schedule \"{name}\", or this login may not see it; list them with: exportbox schedule list"))
}

async fn add(admin: &Admin, args: &AddScheduleArgs) -> anyhow::Result<ExitCode> {
    let now = Utc::now();
    let mut read: Vec<file::ScheduleDefinition> = Vec::new();
    for path in &args.files {
        let definition = file::read(path).map_err(usage)?;
        if read.iter().any(|known| known.name == definition.name) {
            return Err(usage(anyhow!("{}: the schedule \"{}\" is in another of these files, too", path.display(), definition.name)));
        }
        read.push(definition);
    }
    let mut definitions: Vec<(Value, DateTime<Utc>)> = Vec::new();
    for (definition, path) in read.iter().zip(&args.files) {
        let next = definition.timetable.next_after(now).with_context(|| format!("{}: never due again", path.display()))?;
        definitions.push((definition.arguments.clone(), next));
    }
    let registered = admin.register_schedules(&definitions, args.dry_run).await.map_err(|(place, error)| {
        let error = anyhow::Error::new(error);
        match place.and_then(|place| args.files.get(place)) {
            Some(path) => error.context(path.display().to_string()),
            None => error,
        }
    })?;
    let results: Vec<Value> = registered
        .iter()
        .zip(read.iter().zip(&args.files))
        .zip(&definitions)
        .map(|((changed, (definition, path)), (_, next))| {
            let result = match (changed, args.dry_run) {
                (false, _) => "unchanged",
                (true, true) => "would register",
                (true, false) => "registered",
            };
            json!({"file": path, "schedule": definition.name, "result": result, "next_due_at": next,
                "local": on_the_clock(&definition.timetable, *next)})
        })
        .collect();
    if args.json {
        println!("{}", json!({ "schedules": results }));
    } else {
        for result in &results {
            println!("{}: {}, next due {}", field(result, "schedule"), field(result, "result"), field(result, "local"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An instant as the schedule's own clock shows it.
fn on_the_clock(timetable: &Timetable, at: DateTime<Utc>) -> String {
    at.with_timezone(&timetable.zone()).format("%a %Y-%m-%d %H:%M %Z").to_string()
}

fn next(what: &str, timetable: &Timetable, args: &NextDatesArgs) -> anyhow::Result<ExitCode> {
    let mut found: Vec<DateTime<Utc>> = Vec::new();
    let mut after = Utc::now();
    while let Some(at) = timetable.next_after(after).filter(|_| found.len() < args.count as usize) {
        found.push(at);
        after = at;
    }
    if args.json {
        println!("{}", json!({"schedule": what, "time_zone": timetable.zone().name(), "next": found}));
    } else {
        for at in found {
            println!("{}  {}", at.format("%Y-%m-%d %H:%M UTC"), on_the_clock(timetable, at));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(admin: &Admin, args: &ListSchedulesArgs) -> anyhow::Result<ExitCode> {
    let schedules = admin.schedules(None).await?;
    if args.json {
        println!("{}", json!({ "schedules": schedules }));
        return Ok(ExitCode::SUCCESS);
    }
    if schedules.is_empty() {
        println!("no schedules that this login may see: register one with exportbox schedule add FILE.toml");
        return Ok(ExitCode::SUCCESS);
    }
    let columns = ["name", "state", "cron", "time_zone", "report", "requester", "next_due_at"];
    let rows: Vec<Vec<String>> = schedules.iter().map(|schedule| columns.iter().map(|column| field(schedule, column)).collect()).collect();
    table(&["SCHEDULE", "STATE", "CRON", "TIME ZONE", "REPORT", "REQUESTER", "NEXT DUE"], &rows);
    for schedule in schedules.iter().filter(|schedule| !schedule["error"].is_null()) {
        println!("{}: {}", field(schedule, "name"), field(schedule, "error"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Label and column of what is shown one a line.
const SHOWN: [(&str, &str); 12] = [
    ("state", "state"),
    ("cron", "cron"),
    ("time zone", "time_zone"),
    ("report", "report"),
    ("requester", "requester"),
    ("catch up", "catch_up"),
    ("last due", "last_due_at"),
    ("next due", "next_due_at"),
    ("last export", "last_export_id"),
    ("refusals", "refusals"),
    ("error", "error"),
    ("disabled", "disabled_at"),
];

async fn show(admin: &Admin, args: &ScheduleNameArgs) -> anyhow::Result<ExitCode> {
    let schedule = find(admin, &args.name).await?;
    if args.json {
        println!("{schedule}");
        return Ok(ExitCode::SUCCESS);
    }
    println!("schedule     {}", field(&schedule, "name"));
    for (label, column) in SHOWN.iter().filter(|(_, column)| !schedule[*column].is_null() && schedule[*column] != 0) {
        println!("{label:<11}  {}", field(&schedule, column));
    }
    println!("registered   {} by {}", field(&schedule, "created_at"), field(&schedule, "created_by"));
    println!("mails to     {}", counted(schedule["recipients"].as_i64().unwrap_or_default(), "recipient"));
    // Addresses are in the JSON only: a terminal is shared, recorded and pasted into tickets.
    if let Some(request) = schedule["request"].as_object() {
        println!("\nREQUEST");
        for (name, value) in request.iter().filter(|(name, _)| *name != "recipients") {
            let said = value.as_str().map_or_else(|| value.to_string(), ToString::to_string);
            println!("  {name:<14} {}", printable(&said));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn switch(admin: &Admin, args: &ScheduleNameArgs, switch: Switch, said: &str) -> anyhow::Result<ExitCode> {
    let changed = admin.switch_schedule(&args.name, switch).await?;
    if args.json {
        println!("{}", json!({"schedule": args.name, "asked": switch.as_str(), "changed": changed}));
    } else {
        println!("{}: {}{said}", args.name, if changed { "" } else { "as before, it " });
    }
    Ok(ExitCode::SUCCESS)
}
