//! `status`: is it working, on one screen.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};

use super::health::{admin, health_lines};
use super::print::{amount, counted, field, printable};
use super::terminal::{Terminal, instant, span};
use crate::config::DatabaseArgs;

/// Longer names of reports are cut on a terminal. Ids are never cut, as people copy them.
const REPORT_WIDTH: usize = 14;

#[derive(Args)]
pub(super) struct StatusArgs {
    /// How many of the newest exports to list
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i64).range(0..=1000))]
    limit: i64,
    /// Print as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn status(database: &DatabaseArgs, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let admin = admin(database).await?;
    let mut status = admin.health().await?;
    let recent = admin.recent(args.limit).await?;
    if args.json {
        status["exports"] = json!(recent);
        println!("{status}");
    } else {
        println!("{}", page(&status, &recent, Utc::now(), Terminal::of_stdout()).join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The lines of the page.
fn page(status: &Value, recent: &[Value], now: DateTime<Utc>, terminal: Terminal) -> Vec<String> {
    let mut lines = health_lines(status, now, terminal);
    lines.push(String::new());
    if recent.is_empty() {
        lines
            .push("no exports that this login may see: insert a row into exportbox.outbox, or grant exportbox_reader to this login".into());
        return lines;
    }
    let reports: Vec<String> = recent.iter().map(|export| report(export, terminal)).collect();
    let width = reports.iter().map(|report| report.chars().count()).chain([6]).max().unwrap_or_default();
    lines.push(format!("{:<36}  {:<10}  {:<4}  {:<width$}  RESULT", "EXPORT", "STATE", "AGE", "REPORT"));
    for (export, report) in recent.iter().zip(reports) {
        let state = field(export, "state");
        let age = instant(export, "requested_at").map(|at| span(now - at)).unwrap_or_default();
        let padded = terminal.in_colour_of(&state, &format!("{state:<10}"));
        let line = format!("{:<36}  {padded}  {age:<4}  {report:<width$}  {}", field(export, "id"), result(export, &state, now));
        lines.push(terminal.fit(line.trim_end()));
    }
    lines
}

fn report(export: &Value, terminal: Terminal) -> String {
    let name = field(export, "report");
    if terminal.width.is_some() { console::truncate_str(&name, REPORT_WIDTH, "…").into_owned() } else { name }
}

/// How it ended, or how far it is.
fn result(export: &Value, state: &str, now: DateTime<Utc>) -> String {
    // Errors of earlier attempts are shown by `exportbox show`.
    if let Some(error) = export["error"].as_str().filter(|_| state != "completed" && state != "delivering" && state != "running") {
        return format!("[{}] {}", field(export, "error_class"), printable(error));
    }
    let mut parts = Vec::new();
    if state == "running" {
        parts.extend(export["percent"].as_i64().map(|percent| format!("{percent}%")));
        parts.extend(instant(export, "expected_end_at").map(|end| format!("{} left", span(end - now))));
    }
    parts.push(amount(export));
    if let Some(undelivered) = export["undelivered"].as_i64().filter(|undelivered| *undelivered > 0) {
        parts.push(format!("{} undelivered", counted(undelivered, "mail")));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc)).unwrap_or_default()
    }

    fn export(state: &str, more: Value) -> Value {
        let mut export = json!({"id": "0192d3a4-5b6c-7d8e-9f01-23456789abcd", "state": state, "requested_at": "2026-11-22T10:00:00+00:00",
            "report": "monthly-orders-of-every-shop", "rows": null, "bytes": null, "undelivered": 0, "error": null, "error_class": null});
        export.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        export
    }

    fn everything() -> (Value, Vec<Value>) {
        let status = json!({"due": 3, "waiting": 5, "running": 2, "dead": 1, "oldest_due_age": "00:00:12.5", "next_due_at": "2026-11-22T10:04:00+00:00",
            "workers": 2, "last_drain_at": "2026-11-22T09:57:00+00:00", "last_drain": "drained", "login_connections": 5, "login_connection_limit": 50,
            "server_connections": 23, "server_connection_limit": 97, "mail_quota_left": 49812, "snapshot_holder": "export x (pid 7)",
            "snapshot_transactions": 12, "snapshot_age": "00:00:40.1", "snapshot_alarm": null,
            "on_hold": "export: The bucket does not exist. Create it, or set EXPORTBOX_BUCKET to one that does."});
        let running = json!({"rows": 1_800_000, "bytes": 93_000_000, "percent": 45, "expected_end_at": "2026-11-22T10:02:30+00:00"});
        let dead = json!({"error": "The query names a table or view that does not exist (SQLSTATE 42P01).", "error_class": "query"});
        let done = json!({"rows": 1500, "bytes": 5100, "undelivered": 2});
        let exports = [("running", running), ("dead", dead), ("completed", done)].map(|(state, more)| export(state, more));
        (status, exports.into_iter().cycle().take(10).collect())
    }

    #[test]
    fn the_page_fits_a_screen_of_24_lines_of_80_columns() {
        let (status, exports) = everything();
        let terminal = Terminal { width: Some(80), has_colours: false };
        let page = page(&status, &exports, at("2026-11-22T10:00:30+00:00"), terminal);
        let lines: usize = page.iter().map(|line| line.chars().count().div_ceil(80).max(1)).sum();
        assert!(lines < 24, "{lines} lines:\n{}", page.join("\n"));
        let rows: Vec<&String> = page.iter().skip_while(|line| !line.starts_with("EXPORT")).collect();
        assert_eq!(rows.len(), 11);
        assert!(rows.iter().all(|row| row.chars().count() <= 80), "{rows:#?}");
        assert_eq!(*rows[1], "0192d3a4-5b6c-7d8e-9f01-23456789abcd  running     30s   monthly-order…  45%, 2m…");
    }

    #[test]
    fn a_file_gets_the_whole_line() {
        let (status, exports) = everything();
        let page = page(&status, &exports, at("2026-11-22T10:00:30+00:00"), Terminal::default()).join("\n");
        for part in [
            "3 due (the oldest for 12s), 5 waiting (the next in 3m), 2 running, 1 dead",
            "monthly-orders-of-every-shop  45%, 2m left, 1,800,000 rows, 93.00 MB",
            "[query] The query names a table or view that does not exist (SQLSTATE 42P01).",
            "1,500 rows, 5.10 kB, 2 mails undelivered",
            "ON HOLD  export: The bucket does not exist.",
        ] {
            assert!(page.contains(part), "{part} is missing:\n{page}");
        }
        assert!(!page.contains('\u{1b}'), "a colour");
    }
}
