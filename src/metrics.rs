//! What this process counts: every metric with its name, its labels and all their values, and a function for each thing that is counted. Nothing is
//! recorded unless the HTTP endpoint is on. No id, name or text of a request is a label, so the number of series is known beforehand.

use std::sync::OnceLock;
use std::time::Duration;

use ::metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows; starts at 0 with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, with its unit.
    pub name: &'static str,
    /// How it behaves.
    pub kind: MetricKind,
    /// Its labels, each with every value that it may have.
    pub labels: &'static [(&'static str, &'static [&'static str])],
    /// What it says.
    pub help: &'static str,
    /// It is read from the tables when somebody scrapes, and missing while the database is away.
    pub is_of_tables: bool,
}

type Label = (&'static str, &'static [&'static str]);

const KIND: Label = ("kind", &["export", "delivery"]);
const OUTCOME: Label = ("outcome", &["completed", "retried", "dead", "cancelled", "lease_lost"]);
const STATUS: Label = ("status", &["accepted", "retried", "unknown", "rejected", "suppressed", "dead"]);
const BEAT: Label = ("outcome", &["landed", "missed"]);
const REAPED: Label = ("state", &["pending", "dead", "cancelled"]);
const DEPTH: Label = ("state", &["due", "waiting", "running", "dead"]);
const POOL: Label = ("state", &["open", "used"]);
const VERSION: Label = ("version", &[env!("CARGO_PKG_VERSION")]);
const CLASS: Label = (
    "class",
    &[
        "query",
        "permission",
        "role",
        "timeout",
        "source_config",
        "source_unavailable",
        "replica_conflict",
        "source_overloaded",
        "store_unavailable",
        "store_throttled",
        "store_config",
        "store_access",
        "verification",
        "file_gone",
        "too_large",
        "mail_throttled",
        "mail_unavailable",
        "mail_unknown",
        "mail_rejected",
        "mail_suppressed",
        "mail_config",
        "aws_s3_config",
        "internal",
    ],
);

/// Seconds: a mail takes tenths, an export minutes or hours.
const SECONDS: [f64; 12] = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0];
/// Bytes: a kilobyte to a terabyte.
const BYTES: [f64; 10] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];
/// Rows: one to ten thousand million.
const ROWS: [f64; 9] = [1.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e10];

macro_rules! names {
    ($($constant:ident = $name:literal;)*) => { $(const $constant: &str = concat!("exportbox_", $name);)* };
}

names! {
    CLAIMED = "claimed_jobs_total";
    ATTEMPTS = "attempts_total";
    FAILURES = "failures_total";
    MAILS = "mails_total";
    HEARTBEATS = "heartbeats_total";
    LOST_LEASES = "lost_leases_total";
    REAPED_JOBS = "reaped_jobs_total";
    EXPIRED_JOBS = "expired_jobs_total";
    DATABASE_ERRORS = "database_errors_total";
    ATTEMPT_SECONDS = "attempt_duration_seconds";
    EXPORT_BYTES = "export_size_bytes";
    EXPORT_ROWS = "export_size_rows";
    SLOTS = "slots";
    BUSY_SLOTS = "busy_slots";
    POOL_CONNECTIONS = "pool_connections";
    BUILD_INFO = "build_info";
    DATABASE_UP = "database_up";
    JOBS = "jobs";
    OLDEST_DUE = "oldest_due_age_seconds";
    ON_HOLD = "on_hold";
    WORKERS = "workers";
    SNAPSHOT_AGE = "snapshot_age_seconds";
    SNAPSHOT_TRANSACTIONS = "snapshot_transactions";
    CONNECTIONS_USED = "server_connections_used";
    CONNECTIONS_LIMIT = "server_connections_limit";
}

const fn counts(name: &'static str, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, help, is_of_tables: false }
}

const fn measures(name: &'static str, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, labels, help, is_of_tables: false }
}

const fn stands_at(name: &'static str, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, help, is_of_tables: false }
}

const fn of_tables(name: &'static str, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, help, is_of_tables: true }
}

/// Every metric.
pub const METRICS: &[Metric] = &[
    counts(CLAIMED, &[KIND], "Jobs that this process has claimed."),
    counts(ATTEMPTS, &[KIND, OUTCOME], "Attempts of this process, by what became of the job."),
    counts(FAILURES, &[KIND, CLASS], "Attempts of this process that failed, by the class of the error."),
    counts(MAILS, &[STATUS], "Mails of this process, by what the provider said."),
    counts(HEARTBEATS, &[BEAT], "Heartbeats of this process; one is for all its leases."),
    counts(LOST_LEASES, &[], "Leases that this process could not keep."),
    counts(REAPED_JOBS, &[REAPED], "Jobs of lost workers that this process took back, by the state they went to."),
    counts(EXPIRED_JOBS, &[], "Jobs that this process cancelled because their not_after had passed."),
    counts(DATABASE_ERRORS, &[], "Times that this process could not ask the job tables for work."),
    measures(ATTEMPT_SECONDS, &[KIND], "Seconds that an attempt took."),
    measures(EXPORT_BYTES, &[], "Bytes of a finished export, all its files together."),
    measures(EXPORT_ROWS, &[], "Data rows of a finished export."),
    stands_at(SLOTS, &[KIND], "Jobs that this process does at once at most."),
    stands_at(BUSY_SLOTS, &[KIND], "Jobs that this process is doing."),
    stands_at(POOL_CONNECTIONS, &[POOL], "Bookkeeping connections of this process."),
    stands_at(BUILD_INFO, &[VERSION], "Always 1."),
    stands_at(DATABASE_UP, &[], "1 when the database answered this look; what follows is missing otherwise."),
    of_tables(JOBS, &[KIND, DEPTH], "Jobs by kind and state, up to 100,000 each; completed and cancelled ones are not counted."),
    of_tables(OLDEST_DUE, &[KIND], "Seconds that the oldest due job has waited, 0 when none is due: the figure to scale out by."),
    of_tables(ON_HOLD, &[KIND], "1 while a kind of job is on hold."),
    of_tables(WORKERS, &[], "Processes with a recent sign of life."),
    of_tables(SNAPSHOT_AGE, &[], "Seconds since the oldest snapshot was taken, 0 when there is none or its age is not known."),
    of_tables(SNAPSHOT_TRANSACTIONS, &[], "Transactions since the oldest snapshot, which vacuum cannot clean up after."),
    of_tables(CONNECTIONS_USED, &[], "Connections that the outbox's server has, all databases together."),
    of_tables(CONNECTIONS_LIMIT, &[], "Connections that it allows."),
];

/// Record from now on what is counted. Only the first call of a process does something.
///
/// # Panics
/// Never: the buckets are not empty.
pub fn install() -> PrometheusHandle {
    static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
    let start = || {
        let recorder = [(ATTEMPT_SECONDS, &SECONDS[..]), (EXPORT_BYTES, &BYTES[..]), (EXPORT_ROWS, &ROWS[..])]
            .into_iter()
            .fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
                builder.set_buckets_for_metric(Matcher::Full(name.into()), buckets).expect("a list of buckets that is not empty")
            })
            .build_recorder();
        let handle = recorder.handle();
        // When there is another recorder already, a program around us has set it, and gets our metrics.
        let _ = ::metrics::set_global_recorder(recorder);
        METRICS.iter().filter(|metric| !metric.is_of_tables).for_each(begin);
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        handle
    };
    INSTALLED.get_or_init(start).clone()
}

/// Describe a metric, and let each of its series start at 0: a rate has a beginning then.
fn begin(metric: &Metric) {
    let mut series: Vec<Vec<::metrics::Label>> = vec![Vec::new()];
    for (name, values) in metric.labels {
        let with = |labels: &Vec<::metrics::Label>| {
            let longer = values.iter().map(|value| [labels.clone(), vec![::metrics::Label::new(*name, *value)]].concat());
            longer.collect::<Vec<_>>()
        };
        series = series.iter().flat_map(with).collect();
    }
    match metric.kind {
        MetricKind::Counter => ::metrics::describe_counter!(metric.name, metric.help),
        MetricKind::Gauge => ::metrics::describe_gauge!(metric.name, metric.help),
        MetricKind::Histogram => ::metrics::describe_histogram!(metric.name, metric.help),
    }
    for labels in series {
        match metric.kind {
            MetricKind::Counter => counter!(metric.name, labels).increment(0),
            MetricKind::Gauge => gauge!(metric.name, labels).set(0.0),
            MetricKind::Histogram => drop(histogram!(metric.name, labels)),
        }
    }
}

/// A metric that was read from the tables: its name, its labels, its value.
pub fn read(name: &str, kind: Option<&str>, state: Option<&str>, value: f64) {
    let metric = METRICS.iter().find(|metric| metric.is_of_tables && metric.name == name);
    let Some(metric) = metric else { return };
    let labels: Vec<::metrics::Label> = [("kind", kind), ("state", state)]
        .into_iter()
        .filter_map(|(name, value)| Some(::metrics::Label::new(name, value?.to_string())))
        .collect();
    ::metrics::describe_gauge!(metric.name, metric.help);
    gauge!(metric.name, labels).set(value);
}

/// Whether the database answered.
pub fn database_up(is_up: bool) {
    gauge!(DATABASE_UP).set(f64::from(u8::from(is_up)));
}

/// Bookkeeping connections: open ones, and those in use.
pub fn pool(open: usize, used: usize) {
    for (state, connections) in [("open", open), ("used", used)] {
        gauge!(POOL_CONNECTIONS, "state" => state).set(connections as f64);
    }
}

/// How many jobs of a kind may run here, and how many do.
pub fn slots(kind: &'static str, slots: usize, busy: usize) {
    gauge!(SLOTS, "kind" => kind).set(slots as f64);
    gauge!(BUSY_SLOTS, "kind" => kind).set(busy as f64);
}

/// A job was claimed.
pub fn claimed(kind: &'static str) {
    counter!(CLAIMED, "kind" => kind).increment(1);
}

/// An attempt is over.
pub fn attempted(kind: &'static str, outcome: &'static str, took: Duration) {
    counter!(ATTEMPTS, "kind" => kind, "outcome" => outcome).increment(1);
    histogram!(ATTEMPT_SECONDS, "kind" => kind).record(took);
}

/// It failed with an error of this class.
pub fn failed(kind: &'static str, class: &'static str) {
    counter!(FAILURES, "kind" => kind, "class" => class).increment(1);
}

/// A file is stored.
pub fn exported(rows: i64, bytes: i64) {
    histogram!(EXPORT_ROWS).record(rows as f64);
    histogram!(EXPORT_BYTES).record(bytes as f64);
}

/// The provider has judged a mail.
pub fn mailed(status: &'static str) {
    counter!(MAILS, "status" => status).increment(1);
}

/// A heartbeat landed, or did not.
pub fn beat(has_landed: bool) {
    counter!(HEARTBEATS, "outcome" => if has_landed { "landed" } else { "missed" }).increment(1);
}

/// A lease could not be kept.
pub fn lost_lease() {
    counter!(LOST_LEASES).increment(1);
}

/// A lost worker's job went to this state.
pub fn reaped(state: &str) {
    if let Some(state) = REAPED.1.iter().copied().find(|known| *known == state) {
        counter!(REAPED_JOBS, "state" => state).increment(1);
    }
}

/// Jobs were too late to start.
pub fn expired(jobs: usize) {
    counter!(EXPIRED_JOBS).increment(jobs as u64);
}

/// The job tables could not be asked.
pub fn database_error() {
    counter!(DATABASE_ERRORS).increment(1);
}
