//! The papers agree with the program: metrics, dashboard, alerts, runbook and log lines.

use std::collections::{BTreeMap, BTreeSet};

use exportbox::metrics::{METRICS, MetricKind};
use serde_json::Value;

use crate::tidy::{code, files};

const PAGE: &str = include_str!("../../../docs/monitoring.md");

/// The rows of the table that begins with this header, their cells without backticks.
fn table(header: &str) -> Vec<Vec<String>> {
    let after = PAGE.split(header).nth(1).unwrap_or_else(|| panic!("docs/monitoring.md has no table {header}"));
    let rows = after.lines().skip(2).take_while(|line| line.starts_with("| "));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

#[test]
fn every_metric_is_in_the_table_with_its_labels_and_its_meaning() {
    let said: Vec<Vec<String>> = table("| metric | kind | labels | says |");
    let expected: Vec<Vec<String>> = METRICS
        .iter()
        .map(|metric| {
            let shape = match metric.kind {
                MetricKind::Counter => "counter",
                MetricKind::Histogram => "histogram",
                MetricKind::Gauge if metric.is_of_tables => "gauge, tables",
                MetricKind::Gauge => "gauge",
            };
            let labels: Vec<&str> = metric.labels.iter().map(|(name, _)| *name).collect();
            let labels = if labels.is_empty() { "-".to_string() } else { labels.join(", ") };
            vec![metric.name.into(), shape.into(), labels, metric.help.into()]
        })
        .collect();
    assert_eq!(said, expected);
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
    let section = PAGE.split("\n## Runbook\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let entries: BTreeMap<&str, &str> = section.split("\n### ").skip(1).map(|entry| entry.split_once('\n').unwrap()).collect();
    let mut alerts = BTreeSet::new();
    for rule in rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        let name = rule["alert"].as_str().unwrap();
        alerts.insert(name);
        assert_shown(name, rule["expr"].as_str().unwrap());
        assert!(["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        assert!(rule["annotations"]["summary"].as_str().unwrap().ends_with('.'), "{name}");
        assert_eq!(rule["annotations"]["runbook_url"], format!("docs/monitoring.md#{}", name.to_lowercase()));
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

/// Every line that the program may log, as a row of the table.
fn logged() -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for (name, text) in files("src", "rs").into_iter().filter(|(name, _)| !name.contains("sandbox")) {
        let text: String = code(&text).into_iter().map(|(_, line)| format!("{line}\n")).collect();
        for level in ["error", "warn", "info", "debug", "trace"] {
            for call in text.split(&format!("tracing::{level}!(")).skip(1) {
                let (messages, fields): (Vec<String>, Vec<String>) = arguments(call).into_iter().partition(|one| one.starts_with('"'));
                assert_eq!(messages.len(), 1, "{name}: a line has one message, last: {call:.80}");
                let message = messages[0].trim_matches('"').split("\\\n").map(str::trim_start).collect::<String>();
                let fields: Vec<&str> =
                    fields.iter().map(|field| field.split('=').next().unwrap().trim().trim_start_matches(['%', '?'])).collect();
                let fields = if fields.is_empty() { "-".to_string() } else { fields.join(" ") };
                rows.insert(format!("| {level} | {message} | {fields} |"));
            }
        }
    }
    rows
}

#[test]
fn every_line_of_the_log_is_in_the_table_with_its_fields() {
    let said: BTreeSet<String> = table("| level | message | fields |").iter().map(|row| format!("| {} |", row.join(" | "))).collect();
    let logged = logged();
    let missing: Vec<&String> = logged.difference(&said).collect();
    let gone: Vec<&String> = said.difference(&logged).collect();
    assert!(missing.is_empty() && gone.is_empty(), "docs/monitoring.md lacks {missing:#?}, and has {gone:#?} which nothing logs");
    assert!(logged.len() > 25, "only {} lines were found", logged.len());
    let explained: BTreeSet<String> = table("| field | meaning |").iter().flat_map(|row| row[0].split(", ").map(String::from)).collect();
    let fields: BTreeSet<String> = table("| level | message | fields |")
        .iter()
        .flat_map(|row| row[2].split(' ').map(String::from))
        .filter(|field| field != "-")
        .collect();
    let unexplained: Vec<&String> = fields.difference(&explained).collect();
    assert!(unexplained.is_empty(), "fields without a meaning: {unexplained:?}");
}
