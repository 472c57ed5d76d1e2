//! What a worker holds of a job: the token of its lease, what it works with, and how it is told to stop.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Failure, FailureClass, Verdict};

/// Names one lease. Made new by each claim; every write of a worker names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub Uuid);

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The two kinds of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Stores the result of one query.
    Export,
    /// Mails one recipient.
    Delivery,
}

impl Kind {
    /// The word in the table's `kind` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Export => "export",
            Kind::Delivery => "delivery",
        }
    }
}

/// What a report says of its exports beside the query; an ad-hoc query has the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The name of the source that the query runs on.
    pub source: String,
    /// Follows the daemon's prefix in the key.
    pub prefix: Option<String>,
    /// The store encrypts the file with it.
    pub kms_key: Option<String>,
    /// Most data rows.
    pub max_rows: Option<i64>,
    /// Most bytes as stored.
    pub max_bytes: Option<i64>,
    /// The column of the query by whose ranges several backends may export the file, which has its order; `ctid`: by ranges of a table's blocks.
    pub split_key: Option<String>,
}

/// The source that needs no name.
pub const DEFAULT_SOURCE: &str = "default";

impl Default for Terms {
    fn default() -> Terms {
        Terms { source: DEFAULT_SOURCE.into(), prefix: None, kms_key: None, max_rows: None, max_bytes: None, split_key: None }
    }
}

impl Terms {
    /// Whether this many data rows and stored bytes are allowed.
    ///
    /// # Errors
    /// They are not: another attempt would come to the same.
    pub fn allow(&self, rows: i64, bytes: i64) -> Result<(), Failure> {
        let too_large = |what: String, limit: &str| {
            let sentence =
                format!("The report allows at most {what}, and this export has more. Narrow its parameters, or have {limit} raised.");
            Err(Failure::new(FailureClass::TooLarge, Verdict::Bury, sentence))
        };
        match (self.max_rows, self.max_bytes) {
            (Some(most), _) if rows > most => too_large(format!("{most} rows"), "max_rows"),
            (_, Some(most)) if bytes > most => too_large(format!("{most} bytes"), "max_bytes"),
            _ => Ok(()),
        }
    }
}

/// What an export job works with, read from its request.
#[derive(Clone)]
pub struct ExportJob {
    /// Name of the report; none for an ad-hoc query.
    pub report: Option<String>,
    /// The SELECT to run.
    pub query: String,
    /// The role whose rights it has.
    pub run_as: String,
    /// Name and value of each parameter.
    pub params: Vec<(String, Option<String>)>,
    /// How many people will open the file; none means a machine does.
    pub recipients: i32,
    /// The format of the file.
    pub format: super::Format,
    /// Its compression.
    pub compression: super::Compression,
    /// COPY's options and the formula guard.
    pub options: super::FormatOptions,
    /// What the browser saves, as the requester wishes.
    pub filename: Option<String>,
    /// What the report's sealed function is called, if there is one; none for an ad-hoc query.
    pub sealed: Option<String>,
    /// What its report says.
    pub terms: Terms,
}

/// Why an attempt has to stop before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody cancelled the export.
    Cancelled,
    /// The lease is gone, or could not be kept up: nothing may be written any more.
    LeaseLost,
    /// The daemon stops; the job goes back unburnt.
    Shutdown,
    /// The attempt has had its time.
    Deadline,
}

/// Tells one attempt to stop, and why. The first reason stays.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    reason: Arc<OnceLock<StopReason>>,
}

impl Stop {
    /// A stop that nobody has asked for.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Ask the attempt to stop.
    pub fn ask(&self, reason: StopReason) {
        // A second reason changes nothing: the attempt is already on its way out.
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Why the attempt has to stop, if it has to.
    pub fn reason(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }

    /// Wait until somebody asks.
    pub async fn asked(&self) -> StopReason {
        self.token.cancelled().await;
        self.reason().expect("the reason is set before the token is cancelled")
    }

    /// Run a future unless the attempt is stopped first.
    ///
    /// # Errors
    /// The reason to stop. The future is dropped then.
    pub async fn race<T>(&self, work: impl Future<Output = T>) -> Result<T, StopReason> {
        tokio::select! {
            biased;
            reason = self.asked() => Err(reason),
            done = work => Ok(done),
        }
    }
}
