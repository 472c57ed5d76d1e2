//! `watch`: one export until it is final, as a bar on a terminal and as plain lines elsewhere.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use uuid::Uuid;

use super::health::{admin, export_id, no_such_export};
use super::print::{amount, count, counted, field, printable, size};
use super::terminal::{instant, span};
use crate::config::DatabaseArgs;

/// Heartbeats write the progress: to read more often would show nothing new.
const LOOK: Duration = Duration::from_millis(500);
const WITH_BAR: &str = "{spinner} {elapsed_precise} [{bar:30}] {percent:>3}% {msg}";
/// How much there will be is not known.
const WITHOUT_BAR: &str = "{spinner} {elapsed_precise} {msg}";

#[derive(Args)]
pub(super) struct WatchArgs {
    /// The export's id
    #[arg(value_parser = export_id)]
    id: Uuid,
    /// Print a line of JSON at each change
    #[arg(long)]
    json: bool,
}

pub(super) async fn watch(database: &DatabaseArgs, args: &WatchArgs) -> anyhow::Result<ExitCode> {
    let admin = admin(database).await?;
    let bar = if std::io::stderr().is_terminal() && !args.json { ProgressBar::new(100) } else { ProgressBar::hidden() };
    bar.set_style(style(None)?);
    bar.enable_steady_tick(Duration::from_millis(120));
    let mut last = String::new();
    loop {
        let export = admin.export(args.id).await?.with_context(|| no_such_export(args.id))?;
        let state = field(&export, "state");
        let is_final = matches!(state.as_str(), "completed" | "dead" | "cancelled");
        draw(&bar, &export)?;
        let line = if args.json { export.to_string() } else { line(&export) };
        if line != last && (bar.is_hidden() || is_final) {
            bar.suspend(|| println!("{line}"));
        }
        last = line;
        if is_final {
            bar.finish_and_clear();
            let delivered = export["undelivered"].as_i64().unwrap_or_default() == 0;
            return Ok(if state == "completed" && delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn style(percent: Option<u64>) -> anyhow::Result<ProgressStyle> {
    let template = if percent.is_some() { WITH_BAR } else { WITHOUT_BAR };
    Ok(ProgressStyle::with_template(template).context("progress template")?.progress_chars("=> "))
}

fn draw(bar: &ProgressBar, export: &Value) -> anyhow::Result<()> {
    let percent = export["percent"].as_u64();
    bar.set_style(style(percent)?);
    bar.set_position(percent.unwrap_or_default());
    let mut parts = vec![field(export, "state"), amount(export)];
    parts.extend(pace(export, Utc::now()).into_iter().filter(|part| !part.ends_with('%')));
    parts.retain(|part| !part.is_empty());
    bar.set_message(parts.join(", "));
    Ok(())
}

/// How far it is, how fast it goes, and when it will be done, as far as these are known.
pub(super) fn pace(export: &Value, now: DateTime<Utc>) -> Vec<String> {
    let percent = export["percent"].as_i64().map(|percent| format!("{percent}%"));
    let rows = export["rows_per_second"].as_i64().map(|rows| format!("{} rows/s", count(rows)));
    let bytes = export["bytes_per_second"].as_u64().filter(|bytes| *bytes > 0).map(|bytes| format!("{}/s", size(bytes)));
    let end = instant(export, "expected_end_at");
    let end = end.map(|end| format!("about {} left (until {})", span(end - now), end.format("%H:%M:%S UTC")));
    [percent, rows, bytes, end].into_iter().flatten().collect()
}

/// A line that changes only when the view changes: it has no age and no remaining time, which change by themselves.
fn line(export: &Value) -> String {
    let state = field(export, "state");
    let mut parts = vec![state.clone()];
    if state == "running" {
        parts.extend(export["percent"].as_i64().map(|percent| format!("{percent}%")));
    }
    parts.push(amount(export));
    parts.extend(export["rows_per_second"].as_i64().map(|rows| format!("{} rows/s", count(rows))));
    parts.extend(instant(export, "expected_end_at").map(|end| format!("done about {}", end.format("%Y-%m-%d %H:%M:%S UTC"))));
    if state == "delivering" || state == "completed" {
        parts.push(counted(export["mails"].as_i64().unwrap_or_default(), "mail"));
    }
    if let Some(undelivered) = export["undelivered"].as_i64().filter(|undelivered| *undelivered > 0) {
        parts.push(format!("{undelivered} of them not delivered, see: exportbox show"));
    }
    parts.extend(export["error"].as_str().filter(|_| state != "completed").map(printable));
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_holds_what_is_known() {
        let running = json!({"state": "running", "percent": 45, "rows": 1_800_000, "bytes": 93_000_000, "rows_per_second": 33_000,
            "bytes_per_second": 1_700_000, "expected_end_at": "2026-11-22T10:02:30+00:00"});
        assert_eq!(line(&running), "running  45%  1,800,000 rows, 93.00 MB  33,000 rows/s  done about 2026-11-22 10:02:30 UTC");
        let now = DateTime::parse_from_rfc3339("2026-11-22T10:01:00+00:00").unwrap().with_timezone(&Utc);
        assert_eq!(pace(&running, now), ["45%", "33,000 rows/s", "1.70 MB/s", "about 90s left (until 10:02:30 UTC)"]);
        assert_eq!(line(&json!({"state": "running", "rows": null, "percent": null})), "running");
        assert_eq!(
            line(&json!({"state": "completed", "percent": 100, "rows": 3, "bytes": 20, "mails": 1})),
            "completed  3 rows, 20 B  1 mail"
        );
    }

    #[test]
    fn the_bar_is_there_when_the_percentage_is() {
        let terminal = indicatif::InMemoryTerm::new(5, 120);
        let bar = ProgressBar::with_draw_target(Some(100), indicatif::ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        draw(&bar, &json!({"state": "running", "percent": null, "rows": 7, "bytes": null})).unwrap();
        bar.tick();
        assert!(!terminal.contents().contains('[') && terminal.contents().ends_with("running, 7 rows"), "{}", terminal.contents());
        draw(&bar, &json!({"state": "running", "percent": 50, "rows": 700, "bytes": null, "rows_per_second": 70})).unwrap();
        bar.tick();
        assert!(
            terminal.contents().ends_with("[===============>              ]  50% running, 700 rows, 70 rows/s"),
            "{}",
            terminal.contents()
        );
    }
}
