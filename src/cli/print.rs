//! Numbers, instants and tables for people.

use chrono::{DateTime, Utc};
use serde_json::Value;

/// `52.3 MB`.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

/// `1,000,000`.
pub(crate) fn count(number: i64) -> String {
    indicatif::HumanCount(number.unsigned_abs()).to_string()
}

/// `1 mail`, `2 mails`.
pub(crate) fn counted(number: i64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A field of a view's row as text; null is a dash.
pub(super) fn field(row: &Value, name: &str) -> String {
    match &row[name] {
        Value::Null => "-".into(),
        Value::String(text) => instant(text).unwrap_or_else(|| printable(text)),
        other => other.to_string(),
    }
}

/// Instants as `2026-11-22 05:20:00`, in UTC.
fn instant(text: &str) -> Option<String> {
    let parsed = DateTime::parse_from_rfc3339(text).ok()?;
    Some(parsed.with_timezone(&Utc).format("%Y-%m-%d %H:%M:%S").to_string())
}

/// Replaces control characters: text from the tables must not control the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Rows and bytes as `1,000,000 rows, 52.3 MB`.
pub(super) fn amount(row: &Value) -> String {
    let rows = row["rows"].as_i64().map(|rows| counted(rows, "row"));
    let bytes = row["bytes"].as_u64().map(size);
    [rows, bytes].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Each column is as wide as its widest cell; the last one is not padded.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([header[column].len()]).max().unwrap_or_default();
    let line = |cells: &[String]| {
        let last = cells.len() - 1;
        let padded: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(column, cell)| if column == last { cell.clone() } else { format!("{cell:<width$}", width = width(column)) })
            .collect();
        println!("{}", padded.join("  ").trim_end());
    };
    line(&header.iter().map(ToString::to_string).collect::<Vec<_>>());
    rows.iter().for_each(|row| line(row));
}
