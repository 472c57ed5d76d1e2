//! How jobs are named on the command line: by ids, or by a filter.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use uuid::Uuid;

use crate::admin::Filter;

/// The parts of a filter that every command knows.
#[derive(Args)]
pub(super) struct FilterArgs {
    /// Jobs of this kind: export or delivery
    #[arg(long, value_parser = ["export", "delivery"])]
    kind: Option<String>,
    /// Jobs of this report
    #[arg(long, value_name = "NAME")]
    report: Option<String>,
    /// Jobs whose last error is of this class
    #[arg(long, value_name = "CLASS")]
    error_class: Option<String>,
    /// Jobs that this role asked for
    #[arg(long, value_name = "ROLE")]
    requested_by: Option<String>,
    /// Only jobs since then: 2h ago, or an instant such as 2026-11-22T05:00:00Z. Jobs that have ended count by their end, others by their start
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<DateTime<Utc>>,
    /// Only jobs before then, written in the same way
    #[arg(long, value_name = "WHEN", value_parser = when)]
    until: Option<DateTime<Utc>>,
}

impl FilterArgs {
    /// The filter, with the state that some commands know.
    pub(super) fn filter(&self, state: Option<&str>) -> Filter {
        Filter {
            state: state.map(ToString::to_string),
            kind: self.kind.clone(),
            report: self.report.clone(),
            error_class: self.error_class.clone(),
            requested_by: self.requested_by.clone(),
            since: self.since,
            until: self.until,
        }
    }
}

/// Jobs of exports by id, or those that a filter names; a filter that names all is refused.
#[derive(Args)]
pub(super) struct ManyArgs {
    /// Exports by id, as the INSERT returned it; or name jobs by a filter (operators only)
    #[arg(value_name = "ID", conflicts_with_all = ["state", "kind", "report", "error_class", "requested_by", "since", "until", "limit", "dry_run"])]
    pub(super) ids: Vec<Uuid>,
    /// Jobs in this state: dead or cancelled to requeue, pending or running to cancel
    #[arg(long, value_parser = ["pending", "running", "dead", "cancelled"])]
    pub(super) state: Option<String>,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// The most jobs that are touched
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub(super) limit: Option<i32>,
    /// Only say how many would be touched
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print the answer as JSON: a line for each id, or one for the filter
    #[arg(long)]
    pub(super) json: bool,
}

/// An instant, or how long ago it was.
fn when(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let ago = TimeDelta::from_std(ago).ok().and_then(|ago| Utc::now().checked_sub_signed(ago));
        return ago.ok_or_else(|| "that is too long ago".to_string());
    }
    let instant =
        DateTime::parse_from_rfc3339(text).map_err(|_| "write how long ago (2h, 7d), or an instant (2026-11-22T05:00:00Z)".to_string());
    instant.map(|instant| instant.with_timezone(&Utc))
}

/// A duration such as `10m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write a duration such as 90s, 15m or 24h".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_instant_or_how_long_ago_it_was() {
        let instant = "2026-11-22T05:00:00Z".parse::<DateTime<Utc>>().unwrap();
        assert_eq!((when("2026-11-22T05:00:00Z"), when("2026-11-22T06:00:00+01:00")), (Ok(instant), Ok(instant)));
        let ago = Utc::now() - when("2h").unwrap();
        assert!((7199..7210).contains(&ago.num_seconds()), "{ago}");
        assert!(when("yesterday").unwrap_err().contains("2h"));
    }
}
