//! The papers agree with the program: metrics, dashboard, alerts, runbook and log lines.

use std::collections::{BTreeMap, BTreeSet};

use exportbox::metrics::{METRICS, MetricKind};
use serde_json::Value;

use crate::docs::table;
use crate::harness::files::{code, files};

const PAGE: &str = include_str!("../../../docs/monitoring.md");
const RUNBOOK: &str = include_str!("../../../docs/monitoring/runbook.md");
const LOG_LINES: &str = include_str!("../../../docs/monitoring/log-lines.md");

/// The metrics, as docs/monitoring.md lists them.
pub fn metrics() -> String {
    let rows = METRICS.iter().map(|metric| {
        let shape = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Histogram => "histogram",
            MetricKind::Gauge if metric.is_of_tables => "gauge, tables",
            MetricKind::Gauge => "gauge",
        };
        let labels: Vec<String> = metric.labels.iter().map(|(name, _)| format!("`{name}`")).collect();
        vec![format!("`{}`", metric.name), shape.into(), labels.join(", "), metric.help.into()]
    });
    table(&["metric", "kind", "labels", "says"], rows)
}

#[test]
fn every_value_of_a_label_is_explained() {
    for metric in METRICS {
        for value in metric.labels.iter().filter(|(name, _)| !["class", "version"].contains(name)).flat_map(|(_, values)| *values) {
            assert!(PAGE.contains(&format!("`{value}`")), "the value {value} of {} is not explained", metric.name);
        }
    }
}

#[test]
fn every_class_of_error_is_a_value_of_the_label() {
    let failures = METRICS.iter().find(|metric| metric.name == "exportbox_failures_total").unwrap();
    let known: BTreeSet<&str> = failures.labels.iter().find(|(name, _)| *name == "class").unwrap().1.iter().copied().collect();
    let text = include_str!("../../../src/job/failure.rs");
    let words = text.lines().filter_map(|line| line.trim().strip_prefix("FailureClass::")?.split_once(" => \"")?.1.split('"').next());
    assert_eq!(known, words.collect());
}

/// The metrics that an expression names, without the endings of a histogram's series.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("exportbox_"));
    words
        .map(|word| {
            let plain = ["_bucket", "_sum", "_count"].into_iter().find_map(|ending| word.strip_suffix(ending));
            let histogram =
                plain.filter(|plain| METRICS.iter().any(|metric| metric.name == *plain && metric.kind == MetricKind::Histogram));
            histogram.unwrap_or(word).to_string()
        })
        .collect()
}

/// What it selects and groups by, each with the value where it names one.
fn labels_in(expression: &str) -> Vec<(String, Option<String>)> {
    let mut labels = Vec::new();
    for selector in expression.split('{').skip(1) {
        for matcher in selector.split('}').next().unwrap().split(',') {
            let (name, value) = matcher.split_once(['=', '!']).unwrap();
            labels.push((name.trim().to_string(), Some(value.trim_start_matches(['=', '~']).trim_matches('"').to_string())));
        }
    }
    for group in expression.split("by (").skip(1) {
        labels.extend(group.split(')').next().unwrap().split(',').map(|name| (name.trim().to_string(), None)));
    }
    labels
}

fn assert_shown(place: &str, expression: &str) {
    let named = metrics_in(expression);
    assert!(!named.is_empty(), "{place}: {expression}");
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::from([("le", BTreeSet::new()), ("instance", BTreeSet::new())]);
    for name in named {
        let metric = METRICS.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{place} names {name}, which no process shows"));
        for (label, values) in metric.labels {
            known.entry(label).or_default().extend(*values);
        }
    }
    for (label, value) in labels_in(expression) {
        let values = known.get(label.as_str()).unwrap_or_else(|| panic!("{place}: no metric in {expression} has the label {label}"));
        for value in value.iter().flat_map(|value| value.split('|')) {
            assert!(values.contains(value), "{place}: {label} is never {value}");
        }
    }
}

#[test]
fn the_dashboard_shows_only_what_is_there_and_all_of_it() {
    let dashboard: Value = serde_json::from_str(include_str!("../../../docs/monitoring/grafana.json")).unwrap();
    let mut shown = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has another's id");
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            assert_shown(title, expression);
            shown.extend(metrics_in(expression));
        }
    }
    let missing: Vec<&str> = METRICS.iter().map(|metric| metric.name).filter(|name| !shown.contains(*name)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "no panel shows them");
}

#[test]
fn every_alert_is_about_what_is_shown_and_leads_to_its_entry_in_the_runbook() {
    let rules: Value = serde_saphyr::from_str(include_str!("../../../docs/monitoring/alerts.yml")).unwrap();
    let section = RUNBOOK.split("\n## Alerts\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let entries: BTreeMap<&str, &str> = section.split("\n### ").skip(1).map(|entry| entry.split_once('\n').unwrap()).collect();
    let mut alerts = BTreeSet::new();
    for rule in rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        let name = rule["alert"].as_str().unwrap();
        alerts.insert(name);
        assert_shown(name, rule["expr"].as_str().unwrap());
        assert!(["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        assert!(rule["annotations"]["summary"].as_str().unwrap().ends_with('.'), "{name}");
        assert_eq!(rule["annotations"]["runbook_url"], format!("docs/monitoring/runbook.md#{}", name.to_lowercase()));
        let entry = entries.get(name).unwrap_or_else(|| panic!("the runbook has no entry {name}"));
        for part in ["* Symptom: ", "* Command: `", "* Remedy: "] {
            assert_eq!(entry.matches(part).count(), 1, "{name}: {part}");
        }
    }
    assert_eq!(alerts, entries.keys().copied().collect(), "alerts and entries of the runbook");
    assert!(alerts.len() >= 10);
}

/// The arguments of a macro, from behind its opening parenthesis.
fn arguments(text: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    let mut all = vec![String::new()];
    for c in text.chars() {
        match c {
            _ if quoted => {
                quoted = escaped || c != '"';
                escaped = !escaped && c == '\\';
            }
            '"' => quoted = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 1 => {
                all.push(String::new());
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
        all.last_mut().unwrap().push(c);
    }
    all.into_iter().map(|argument| argument.trim().to_string()).filter(|argument| !argument.is_empty()).collect()
}

/// A line that the program may log: its level, its message, and the names of its fields.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct LogLine {
    /// From `error` on.
    level: usize,
    message: String,
    fields: Vec<String>,
}

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Every line that the program may log.
fn logged() -> BTreeSet<LogLine> {
    let mut lines = BTreeSet::new();
    for (name, text) in files("src", "rs").into_iter().filter(|(name, _)| !name.contains("sandbox")) {
        let text: String = code(&text).into_iter().map(|(_, line)| format!("{line}\n")).collect();
        for (level, word) in LEVELS.iter().enumerate() {
            for call in text.split(&format!("tracing::{word}!(")).skip(1) {
                let (messages, fields): (Vec<String>, Vec<String>) = arguments(call).into_iter().partition(|one| one.starts_with('"'));
                assert_eq!(messages.len(), 1, "{name}: a line has one message, last: {call:.80}");
                let message = messages[0].trim_matches('"').split("\\\n").map(str::trim_start).collect::<String>();
                let name_of = |field: &String| field.split('=').next().unwrap().trim().trim_start_matches(['%', '?']).to_string();
                lines.insert(LogLine { level, message, fields: fields.iter().map(name_of).collect() });
            }
        }
    }
    assert!(lines.len() > 25, "only {} lines were found", lines.len());
    lines
}

/// The lines of the log, as docs/monitoring/log-lines.md lists them.
pub fn log_lines() -> String {
    let named = |fields: Vec<String>| fields.into_iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(" ");
    table(
        &["level", "message", "fields"],
        logged().into_iter().map(|line| vec![LEVELS[line.level].into(), line.message, named(line.fields)]),
    )
}

#[test]
fn every_field_of_a_line_of_the_log_is_explained() {
    let rows = LOG_LINES.split("| field | meaning |").nth(1).unwrap().lines().filter_map(|row| row.strip_prefix("| `"));
    let explained: BTreeSet<&str> =
        rows.flat_map(|row| row.split(" | ").next().unwrap().split(", ")).map(|name| name.trim_matches('`')).collect();
    let fields: BTreeSet<String> = logged().into_iter().flat_map(|line| line.fields).collect();
    let fields: BTreeSet<&str> = fields.iter().map(String::as_str).collect();
    assert_eq!(fields, explained, "fields that lines have, and those that docs/monitoring/log-lines.md explains");
}
