//! A schedule as a file of TOML, fit for version control. Every key is one argument of `exportbox.register_schedule`.

use std::path::Path;

use anyhow::{Context, anyhow};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::admin::Timetable;

/// A schedule as its file says.
#[derive(Debug)]
pub(super) struct ScheduleDefinition {
    /// What it is called.
    pub name: String,
    /// When it is due.
    pub timetable: Timetable,
    /// The arguments of the registration by name.
    pub arguments: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    cron: String,
    time_zone: String,
    report: String,
    requester: Option<String>,
    recipients: Option<Vec<String>>,
    format: Option<String>,
    compression: Option<String>,
    filename: Option<String>,
    priority: Option<i32>,
    timeout: Option<String>,
    max_attempts: Option<i32>,
    link_ttl: Option<String>,
    subject: Option<String>,
    message: Option<String>,
    catch_up: Option<String>,
    catch_up_limit: Option<i32>,
    late_after: Option<String>,
    format_options: Option<toml::Table>,
    params: Option<toml::Table>,
    metadata: Option<toml::Table>,
}

/// Read a file. Errors name the file, the line and the key.
pub(super) fn read(path: &Path) -> anyhow::Result<ScheduleDefinition> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> anyhow::Result<ScheduleDefinition> {
    // The message ends with a line break of its own.
    let file: File = toml::from_str(text).map_err(|error| anyhow!("{}", error.to_string().trim_end()))?;
    let timetable = Timetable::new(&file.cron, &file.time_zone)?;
    let table = |table: Option<toml::Table>| table.map(|table| plain(toml::Value::Table(table)));
    let arguments: Map<String, Value> = [
        ("name", Some(file.name.clone().into())),
        ("cron", Some(file.cron.into())),
        ("time_zone", Some(file.time_zone.into())),
        ("report", Some(file.report.into())),
        ("requester", file.requester.map(Value::from)),
        ("recipients", file.recipients.map(Value::from)),
        ("format", file.format.map(Value::from)),
        ("compression", file.compression.map(Value::from)),
        ("format_options", table(file.format_options)),
        ("filename", file.filename.map(Value::from)),
        ("priority", file.priority.map(Value::from)),
        ("timeout", duration("timeout", file.timeout)?),
        ("max_attempts", file.max_attempts.map(Value::from)),
        ("link_ttl", duration("link_ttl", file.link_ttl)?),
        ("subject", file.subject.map(Value::from)),
        ("message", file.message.map(Value::from)),
        ("catch_up", file.catch_up.map(Value::from)),
        ("catch_up_limit", file.catch_up_limit.map(Value::from)),
        ("late_after", duration("late_after", file.late_after)?),
        ("params", table(file.params)),
        ("metadata", table(file.metadata)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_string(), value?)))
    .collect();
    Ok(ScheduleDefinition { name: file.name, timetable, arguments: Value::Object(arguments) })
}

/// Dates and odd floats become text, which PostgreSQL reads.
fn plain(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(at) => at.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(plain).collect(),
        toml::Value::Table(table) => Value::Object(table.into_iter().map(|(name, value)| (name, plain(value))).collect()),
    }
}

/// As PostgreSQL reads an interval.
fn duration(key: &str, text: Option<String>) -> anyhow::Result<Option<Value>> {
    let Some(text) = text else { return Ok(None) };
    let length = humantime::parse_duration(&text).map_err(|_| anyhow!("{key}: write a duration such as 90s, 15m or 7d, not \"{text}\""))?;
    Ok(Some(format!("{} milliseconds", length.as_millis()).into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_says_everything_that_a_registration_can() {
        let read = parse(
            r#"
            name = "monthly"
            cron = "0 6 1 * *"
            time_zone = "Europe/Berlin"
            report = "orders"
            recipients = ["ann@example.com"]
            link_ttl = "7d"
            catch_up = "all"
            [params]
            month = { due = "start of previous month" }
            from = 2026-01-01
            [format_options]
            delimiter = ";"
            "#,
        )
        .unwrap();
        let expected = json!({"name": "monthly", "cron": "0 6 1 * *", "time_zone": "Europe/Berlin", "report": "orders",
            "recipients": ["ann@example.com"], "link_ttl": "604800000 milliseconds", "catch_up": "all",
            "params": {"month": {"due": "start of previous month"}, "from": "2026-01-01"}, "format_options": {"delimiter": ";"}});
        assert_eq!((read.name.as_str(), read.arguments), ("monthly", expected));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let right = "name = \"a\"\ncron = \"0 6 * * *\"\ntime_zone = \"UTC\"\nreport = \"r\"";
        parse(right).unwrap();
        for (from, to, word) in [
            ("report = \"r\"", "raport = \"r\"", "raport"),
            ("report = \"r\"", "", "report"),
            ("0 6 * * *", "0 6 30 2 *", "never"),
            ("0 6 * * *", "whenever", "minute, hour"),
            ("\"UTC\"", "\"Berlin\"", "Europe/Berlin"),
            ("report = \"r\"", "report = \"r\"\nlink_ttl = \"long\"", "link_ttl"),
        ] {
            let said = format!("{:#}", parse(&right.replace(from, to)).unwrap_err());
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}
