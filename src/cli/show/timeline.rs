//! What happened to an export, in order of time: request, claims, progress, files, mails, and everything unusual.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::super::print::{amount, counted, field, size};
use super::super::terminal::{instant, span};
use crate::admin::Story;

/// One thing that happened.
pub(super) struct Moment {
    pub at: DateTime<Utc>,
    pub what: String,
    /// The state that it led to, for its colour.
    pub state: &'static str,
}

/// All of it, the oldest first.
pub(super) fn of(story: &Story) -> Vec<Moment> {
    let export = &story.export;
    let mut moments = Vec::new();
    let mut add = |at: Option<DateTime<Utc>>, state, what: String| moments.extend(at.map(|at| Moment { at, what, state }));
    let what = export["report"].as_str().map_or("an ad-hoc query".into(), |_| format!("report {}", field(export, "report")));
    add(instant(export, "requested_at"), "", format!("requested by {}: {what}", field(export, "requested_by")));
    for attempt in &story.attempts {
        let job = job(attempt, &story.deliveries);
        let (number, worker) = (field(attempt, "number"), field(attempt, "worker"));
        let exporter = attempt["exporter"].as_str().map(|exporter| format!(", by {exporter}")).unwrap_or_default();
        add(instant(attempt, "started_at"), "", format!("{job}: attempt {number} claimed by {worker}{exporter}"));
        let so_far = amount(attempt);
        match instant(attempt, "finished_at") {
            None if !so_far.is_empty() => add(instant(attempt, "progress_at"), "running", format!("{job}: {so_far} so far")),
            None => {}
            Some(ended) => add(Some(ended), colour(attempt), format!("{job}: {}", ending(attempt, ended, &story.deliveries))),
        }
    }
    if let Some(first) = story.objects.first() {
        let bytes = story.objects.iter().filter_map(|object| object["bytes"].as_u64()).sum();
        let files = counted(i64::try_from(story.objects.len()).unwrap_or(i64::MAX), "file");
        add(instant(first, "created_at"), "", format!("{files} stored, {}, data as of {}", size(bytes), field(first, "as_of")));
    }
    for event in &story.events {
        let detail = event["detail"].as_str().map(|_| format!(": {}", field(event, "detail"))).unwrap_or_default();
        add(instant(event, "at"), "detail", format!("{} (by {}){detail}", field(event, "kind"), field(event, "actor")));
    }
    if let Some(finished) = instant(export, "finished_at") {
        let asked = instant(export, "requested_at").unwrap_or(finished);
        let state = ["completed", "dead", "cancelled"].into_iter().find(|state| export["state"] == *state).unwrap_or_default();
        add(Some(finished), state, format!("{state}, {} after the request", span(finished - asked)));
    }
    // Moments of one instant stay in the order in which they were added above: the cause before its effect.
    moments.sort_by_key(|moment| moment.at);
    moments
}

fn delivery<'a>(attempt: &Value, deliveries: &'a [Value]) -> Option<&'a Value> {
    deliveries.iter().find(|delivery| delivery["id"] == attempt["job_id"])
}

fn job(attempt: &Value, deliveries: &[Value]) -> String {
    match delivery(attempt, deliveries) {
        Some(delivery) => format!("mail to {}", field(delivery, "recipient")),
        None => field(attempt, "kind"),
    }
}

/// `completed after 4.0s: 1,500 rows, 5.10 kB`.
fn ending(attempt: &Value, ended: DateTime<Utc>, deliveries: &[Value]) -> String {
    let took = instant(attempt, "started_at").map(|started| format!(" after {}", span(ended - started))).unwrap_or_default();
    let outcome = match (attempt["outcome"].as_str(), delivery(attempt, deliveries)) {
        (Some("completed"), Some(delivery)) => format!("accepted by {}", field(delivery, "provider")),
        _ => field(attempt, "outcome"),
    };
    let result = match attempt["error"].as_str() {
        Some(_) => format!("[{}] {}", field(attempt, "error_class"), field(attempt, "error")),
        None => amount(attempt),
    };
    if result.is_empty() { format!("{outcome}{took}") } else { format!("{outcome}{took}: {result}") }
}

fn colour(attempt: &Value) -> &'static str {
    match attempt["outcome"].as_str() {
        Some("completed") => "completed",
        Some("buried" | "reaped") => "dead",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_life_is_told_in_the_order_in_which_it_went() {
        let at = |time: &str| format!("2026-11-22T10:{time}+00:00");
        let story = Story {
            export: json!({"requested_at": at("00:00"), "requested_by": "app", "report": "orders", "state": "completed", "finished_at": at("02:10.5")}),
            objects: vec![json!({"bytes": 5000, "as_of": at("02:00"), "created_at": at("02:04")}), json!({"bytes": 100})],
            deliveries: vec![json!({"id": 8, "recipient": "a***@example.com", "provider": "ses"})],
            attempts: vec![
                json!({"job_id": 7, "kind": "export", "number": 1, "worker": "w1", "started_at": at("00:01"), "finished_at": at("00:02.5"), "outcome": "retried",
                    "error_class": "source_unavailable", "error": "The source database cannot be reached."}),
                json!({"job_id": 7, "kind": "export", "number": 2, "worker": "w2", "exporter": "copy", "started_at": at("02:00"), "finished_at": at("02:04"),
                    "outcome": "completed", "rows": 1500, "bytes": 5100}),
                json!({"job_id": 8, "kind": "delivery", "number": 1, "worker": "w2", "started_at": at("02:05"), "finished_at": at("02:10.5"), "outcome": "completed"}),
            ],
            events: vec![json!({"at": at("01:00"), "kind": "requeued", "actor": "dba", "detail": "1 jobs"})],
            dead: vec![],
        };
        let told: Vec<String> = of(&story).into_iter().map(|moment| format!("{} {}", moment.at.format("%M:%S"), moment.what)).collect();
        assert_eq!(
            told,
            [
                "00:00 requested by app: report orders",
                "00:01 export: attempt 1 claimed by w1",
                "00:02 export: retried after 1.5s: [source_unavailable] The source database cannot be reached.",
                "01:00 requeued (by dba): 1 jobs",
                "02:00 export: attempt 2 claimed by w2, by copy",
                "02:04 export: completed after 4.0s: 1,500 rows, 5.10 kB",
                "02:04 2 files stored, 5.10 kB, data as of 2026-11-22 10:02:00",
                "02:05 mail to a***@example.com: attempt 1 claimed by w2",
                "02:10 mail to a***@example.com: accepted by ses after 5.5s",
                "02:10 completed, 2m after the request",
            ]
        );
    }

    #[test]
    fn what_runs_says_how_far_it_is() {
        let attempt = json!({"kind": "export", "number": 1, "worker": "w", "started_at": "2026-11-22T10:00:00+00:00",
            "progress_at": "2026-11-22T10:00:15+00:00", "rows": 1000, "bytes": 0});
        let export = json!({"requested_at": "2026-11-22T09:59:59+00:00", "requested_by": "app"});
        let story = Story { export, objects: vec![], deliveries: vec![], attempts: vec![attempt], events: vec![], dead: vec![] };
        assert_eq!(of(&story).last().map(|moment| moment.what.clone()).unwrap(), "export: 1,000 rows, 0 B so far");
    }
}
