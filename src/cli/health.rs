//! `health`, and what the commands that only read have in common: they show the views, for people, and with `--json` for programs.

use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use super::print::{count, counted, field, printable};
use super::terminal::{Terminal, instant, span};
use super::usage;
use crate::admin::Admin;
use crate::config::DatabaseArgs;
use crate::database::Pool;

#[derive(Args)]
pub(super) struct HealthArgs {
    /// Print the health view as one line of JSON
    #[arg(long)]
    json: bool,
}

/// The job tables for a command of a person.
pub(super) async fn admin(database: &DatabaseArgs) -> anyhow::Result<Admin> {
    let database = database.database().map_err(usage)?;
    Ok(Admin::new(Pool::for_people(&database, format!("cli:{}", std::process::id()))))
}

/// An export's id as somebody has typed it.
pub(super) fn export_id(text: &str) -> Result<Uuid, &'static str> {
    text.trim().parse().map_err(|_| "an export's id is a UUID; exportbox status lists them")
}

pub(super) fn no_such_export(id: Uuid) -> String {
    format!("there is no export {id}, or this login may not see it; list them with: exportbox status")
}

pub(super) async fn health(database: &DatabaseArgs, args: &HealthArgs) -> anyhow::Result<ExitCode> {
    let admin = admin(database).await?;
    admin.check_schema().await?;
    let health = admin.health().await?;
    if args.json {
        println!("{health}");
    } else {
        println!("{}", health_lines(&health, Utc::now(), Terminal::of_stdout()).join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The health view in a few lines: first the numbers, then what needs somebody's attention.
pub(super) fn health_lines(health: &Value, now: DateTime<Utc>, terminal: Terminal) -> Vec<String> {
    let known = |name: &str| health[name].as_i64().map(count);
    let aside = |text: Option<String>| text.map(|text| format!(" ({text})")).unwrap_or_default();
    let oldest = interval(health, "oldest_due_age").map(|age| format!("the oldest for {}", span(age)));
    let next = instant(health, "next_due_at").map(|at| format!("the next in {}", span(at - now)));
    let dead = health["dead"].as_i64().unwrap_or_default();
    let dead_state = if dead > 0 { "dead" } else { "" };
    let mut lines = vec![format!(
        "{} due{}, {} waiting{}, {} running, {}",
        field(health, "due"),
        aside(oldest),
        field(health, "waiting"),
        aside(next),
        field(health, "running"),
        terminal.in_colour_of(dead_state, &format!("{} dead", count(dead))),
    )];
    let mut working = vec![counted(health["workers"].as_i64().unwrap_or_default(), "worker")];
    if let Some(at) = instant(health, "last_drain_at") {
        working.push(format!("last drain {} ago: {}", span(now - at), field(health, "last_drain")));
    }
    working.extend(known("mail_quota_left").map(|left| format!("{left} mails left of the quota")));
    lines.push(working.join(", "));
    let of = |used: &str, limit: &str| known(used).map(|used| known(limit).map_or(used.clone(), |limit| format!("{used} of {limit}")));
    let login = of("login_connections", "login_connection_limit").map(|used| format!("{used} of the daemon's login"));
    let server = of("server_connections", "server_connection_limit").map(|used| format!("{used} of the server"));
    let connections: Vec<String> = [login, server].into_iter().flatten().collect();
    if !connections.is_empty() {
        lines.push(format!("connections: {}", connections.join(", ")));
    }
    if let Some(reason) = health["on_hold"].as_str() {
        lines.push(format!("{}  {}", terminal.in_colour_of("alarm", "ON HOLD"), printable(reason)));
    }
    if let Some(pauses) = health["pauses"].as_str() {
        let waiting = counted(health["paused"].as_i64().unwrap_or_default(), "job");
        lines.push(format!("{}  {}; {waiting} waiting for that", terminal.in_colour_of("alarm", "PAUSED"), printable(pauses)));
    }
    if let Some(alarm) = health["snapshot_alarm"].as_str() {
        lines.push(format!("{}  {}", terminal.in_colour_of("alarm", "SNAPSHOT"), printable(alarm)));
    } else if !health["snapshot_holder"].is_null() {
        let age = interval(health, "snapshot_age").map_or("an unknown time".into(), span);
        let (transactions, holder) = (field(health, "snapshot_transactions"), field(health, "snapshot_holder"));
        lines.push(format!("oldest snapshot: open for {age}, {transactions} transactions, {holder}"));
    }
    lines
}

/// An interval as PostgreSQL writes it: `1 day 02:03:04.5`, `-00:00:01`.
fn interval(row: &Value, name: &str) -> Option<TimeDelta> {
    let text = row[name].as_str()?;
    let mut seconds = 0.0;
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if word.contains(':') {
            let sign = if word.starts_with('-') { -1.0 } else { 1.0 };
            let clock =
                word.trim_start_matches('-').split(':').try_fold(0.0, |sum, part| part.parse::<f64>().ok().map(|n| sum * 60.0 + n))?;
            seconds += sign * clock;
        } else {
            let number: f64 = word.parse().ok()?;
            let unit = match words.next()?.trim_end_matches('s') {
                "day" => 86_400.0,
                "mon" => 30.0 * 86_400.0,
                "year" => 365.25 * 86_400.0,
                _ => return None,
            };
            seconds += number * unit;
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of any age that a row can have")]
    Some(TimeDelta::milliseconds((seconds * 1000.0) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_as_postgresql_writes_them() {
        let read = |text: &str| interval(&serde_json::json!({ "age": text }), "age").map(|age| age.num_milliseconds());
        assert_eq!(read("00:00:12.5"), Some(12_500));
        assert_eq!(read("1 day 02:03:04"), Some(93_784_000));
        assert_eq!(read("2 days"), Some(172_800_000));
        assert_eq!(read("1 mon 3 days -00:00:01"), Some(33 * 86_400_000 - 1000));
        assert_eq!((read("soon"), read("3 fortnights")), (None, None));
    }

    #[test]
    fn an_id_that_is_none_is_refused_with_where_to_find_one() {
        assert!(export_id(" 0192d3a4-5b6c-7d8e-9f01-23456789abcd ").is_ok());
        assert!(export_id("monthly-orders").is_err_and(|said| said.contains("exportbox status")));
    }
}
