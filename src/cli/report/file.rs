//! A report as a file of TOML, fit for version control. Every key is one argument of `exportbox.register_report`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::admin::ReportDefinition;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    description: Option<String>,
    query: String,
    run_as: String,
    requesters: Option<Vec<String>>,
    formats: Option<Vec<String>>,
    max_rows: Option<i64>,
    max_bytes: Option<i64>,
    timeout: Option<String>,
    recipient_domains: Option<Vec<String>>,
    max_recipients: Option<i32>,
    object_life: Option<String>,
    kms_key: Option<String>,
    prefix: Option<String>,
    source: Option<String>,
    split_key: Option<String>,
    #[serde(default)]
    params: BTreeMap<String, Param>,
}

/// `month = "date"`, or a table of what is declared.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a parameter is a type such as \"date\", or a table with type, required, default, values, min, max, description"
)]
enum Param {
    Short(String),
    Long(Declaration),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    r#type: String,
    required: Option<bool>,
    default: Option<toml::Value>,
    values: Option<Vec<toml::Value>>,
    min: Option<toml::Value>,
    max: Option<toml::Value>,
    description: Option<String>,
}

/// Read a file. Errors name the file, the line and the key.
pub(super) fn read(path: &Path) -> anyhow::Result<ReportDefinition> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> anyhow::Result<ReportDefinition> {
    // The message ends with a line break of its own.
    let file: File = toml::from_str(text).map_err(|error| anyhow!("{}", error.to_string().trim_end()))?;
    let params: Map<String, Value> = file.params.into_iter().map(|(name, param)| (name, declared(param))).collect();
    Ok(ReportDefinition {
        name: file.name,
        description: file.description,
        query: file.query,
        params: Value::Object(params),
        run_as: file.run_as,
        requesters: file.requesters,
        formats: file.formats,
        max_rows: file.max_rows,
        max_bytes: file.max_bytes,
        timeout: duration("timeout", file.timeout.as_deref())?,
        recipient_domains: file.recipient_domains,
        max_recipients: file.max_recipients,
        object_life: duration("object_life", file.object_life.as_deref())?,
        kms_key: file.kms_key,
        prefix: file.prefix,
        source: file.source,
        split_key: file.split_key,
    })
}

fn declared(param: Param) -> Value {
    let long = match param {
        Param::Short(name) => return json!({ "type": name }),
        Param::Long(long) => long,
    };
    let mut declared = Map::new();
    declared.insert("type".into(), long.r#type.into());
    let properties = [
        ("required", long.required.map(Value::from)),
        ("default", long.default.map(plain)),
        ("values", long.values.map(|values| values.into_iter().map(plain).collect())),
        ("min", long.min.map(plain)),
        ("max", long.max.map(plain)),
        ("description", long.description.map(Value::from)),
    ];
    declared.extend(properties.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))));
    Value::Object(declared)
}

/// Dates, infinities and NaN become text, which PostgreSQL reads. The database refuses what is no plain value, and says so.
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

fn duration(key: &str, text: Option<&str>) -> anyhow::Result<Option<Duration>> {
    text.map(|text| humantime::parse_duration(text).map_err(|_| anyhow!("{key}: write a duration such as 90s, 15m or 7d, not \"{text}\"")))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_everything_that_a_registration_can() {
        let read = parse(
            r#"
            name = "monthly"
            run_as = "reporting"
            query = "select 1"
            timeout = "15m"
            max_rows = 1_000
            [params]
            shop = "text"
            [params.month]
            type = "date"
            default = 2026-01-01
            min = "2020-01-01"
            [params.size]
            type = "int"
            values = [1, 2]
            "#,
        )
        .unwrap();
        let params = json!({"shop": {"type": "text"}, "month": {"type": "date", "default": "2026-01-01", "min": "2020-01-01"},
            "size": {"type": "int", "values": [1, 2]}});
        assert_eq!((read.params, read.timeout, read.max_rows), (params, Some(Duration::from_secs(900)), Some(1000)));
    }

    #[test]
    fn a_wrong_key_is_named_with_its_line() {
        for (text, word) in [
            ("name = \"a\"\nquery = \"select 1\"\nrun_as = \"r\"\nmaxrows = 1", "maxrows"),
            ("name = \"a\"\nquery = \"select 1\"", "run_as"),
            ("name = \"a\"\nquery = \"select 1\"\nrun_as = \"r\"\nmax_rows = \"many\"", "line 4"),
            ("name = \"a\"\nquery = \"select 1\"\nrun_as = \"r\"\ntimeout = \"soon\"", "timeout"),
            ("name = \"a\"\nquery = \"select 1\"\nrun_as = \"r\"\n[params.x]\ntyp = \"date\"", "type"),
        ] {
            let said = format!("{:#}", parse(text).unwrap_err());
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}
