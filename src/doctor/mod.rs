//! `exportbox doctor`: looks at everything that work depends on, tries what can be tried, and says what to do about what is wrong.
//!
//! Must not know: settings as text, terminals, exit codes. Each check ends by itself or is cut off, so that the others have their turn.
//! It touches no request: what it stores lies under `doctor/`, and it removes that again. A finding holds our own sentences, names of roles and
//! numbers; never an address, a key or a password.

mod diagnosis;
mod export;
mod mail;
mod outbox;
mod source;
mod store;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;

pub use diagnosis::{CheckStatus, Diagnosis, Finding};

use crate::admin::{Admin, RunsAs};
use crate::database::{DatabaseError, Server};
use crate::export::ExportOptions;
use crate::mail::Mailer;
use crate::source::{SourceFacts, Sources};
use crate::store::Store;

/// How long a check may take, and from where on something is worth telling.
#[derive(Debug, Clone)]
pub struct CheckLimits {
    /// The longest that one check may take.
    pub patience: Duration,
    /// A snapshot is old from this age on.
    pub snapshot: Duration,
    /// The most objects to look at.
    pub objects: usize,
}

impl Default for CheckLimits {
    fn default() -> CheckLimits {
        CheckLimits { patience: Duration::from_secs(10), snapshot: Duration::from_secs(3600), objects: 5000 }
    }
}

/// What a daemon with the same settings would work with.
pub struct Doctor {
    /// The job tables.
    pub admin: Admin,
    /// `user@host/database` of the outbox.
    pub place: String,
    /// There is a URL that leads past the pooler.
    pub has_direct: bool,
    /// The settings say that a pooler stands before the database.
    pub is_pooled: bool,
    /// Connections that one process needs at the outbox, and at the source when that is another login.
    pub connections: (i64, Option<i64>),
    /// Where queries run.
    pub sources: Sources,
    /// Where files go.
    pub store: Store,
    /// How exports are made.
    pub options: ExportOptions,
    /// How mails leave.
    pub mailer: Mailer,
    /// How long links shall live.
    pub link_ttl: Duration,
    /// Time limits and thresholds.
    pub limits: CheckLimits,
}

/// What the first checks found. Later checks build on it.
#[derive(Default)]
struct Known {
    /// The outbox's server; none: not reached.
    server: Option<Server>,
    /// How far its clock is ahead of this machine's.
    database_ahead: Option<TimeDelta>,
    /// Whose rights exports have.
    runs_as: Vec<RunsAs>,
    /// The default source; none: not reached.
    source: Option<SourceFacts>,
    /// The bucket lets us in.
    has_bucket: bool,
    /// Why work could not even start.
    refused: Option<DatabaseError>,
}

type Check<'a> = (&'static str, BoxFuture<'a, Finding>);

impl Doctor {
    /// Run every check.
    pub async fn check(&self) -> Diagnosis {
        let mut known = Known::default();
        let (mut findings, mailing) = tokio::join!(
            async {
                let mut findings = self.outbox(&mut known).await;
                findings.extend(self.places(&mut known).await);
                findings.extend(self.bucket(&mut known).await);
                findings.extend(self.exports(&known).await);
                findings
            },
            self.mail(),
        );
        findings.extend(mailing);
        findings.push(self.clock(&known));
        findings.push(self.bounded("orphans", self.orphans(&known)).await);
        Diagnosis { findings, refused: known.refused }
    }

    /// A check that takes too long is cut off, and its finding says so.
    async fn bounded(&self, name: &'static str, check: impl Future<Output = Finding>) -> Finding {
        within(name, self.limits.patience, check).await
    }

    /// Run these checks one after the other; or none of them, and say why.
    async fn all(&self, checks: Vec<Check<'_>>, unless: Option<&str>) -> Vec<Finding> {
        self.all_within(self.limits.patience, checks, unless).await
    }

    async fn all_within(&self, patience: Duration, checks: Vec<Check<'_>>, unless: Option<&str>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, check) in checks {
            findings.push(match unless {
                None => within(name, patience, check).await,
                Some(why) => Finding::skipped(name, why),
            });
        }
        findings
    }

    /// Leases are judged by the database's clock and links by the store's; this machine's clock should agree with both.
    fn clock(&self, known: &Known) -> Finding {
        const OFF: TimeDelta = TimeDelta::minutes(4);
        const NOTABLE: TimeDelta = TimeDelta::seconds(30);
        let (database, store) = (known.database_ahead.unwrap_or_default(), self.store.clock_ahead());
        let said = format!("this machine's clock is {} the database's and {} the store's", off(database), off(store));
        let fix = "synchronise this machine's clock and the servers', for example with chrony";
        match (database.abs(), store.abs()) {
            (_, store) if store > OFF => Finding::fail("clock", format!("{said}: signatures are refused"), fix),
            (database, store) if database.max(store) > NOTABLE => Finding::warn("clock", said, fix),
            _ => Finding::ok("clock", said),
        }
    }
}

async fn within(name: &'static str, patience: Duration, check: impl Future<Output = Finding>) -> Finding {
    tokio::time::timeout(patience, check).await.unwrap_or_else(|_| cut_off(name, patience))
}

fn cut_off(name: &'static str, patience: Duration) -> Finding {
    let said = format!("no answer within {} s, so it was cut off", patience.as_secs_f64());
    Finding::fail(name, said, "look at the network, the firewall and the load of what it asks; then run doctor again")
}

/// How our clock stands to one that is ahead by this much.
fn off(ahead: TimeDelta) -> String {
    match ahead.num_seconds() {
        -1..=1 => "right by".into(),
        ahead if ahead > 0 => format!("{ahead} s behind"),
        ahead => format!("{} s ahead of", -ahead),
    }
}

/// An instant for people.
fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
