//! What a worker holds of a job: the token of its lease, and how it is told to stop.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Names one lease. Made new by each claim; every write of a worker names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub Uuid);

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The two kinds of job: what its subject is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Stores the result of one query.
    Export,
    /// Mails one recipient.
    Message,
}

impl Kind {
    /// The word in the table's `kind` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Export => "export",
            Kind::Message => "message",
        }
    }

    /// The word that views, logs and metrics have for it: a message is a delivery.
    pub fn shown(self) -> &'static str {
        match self {
            Kind::Export => "export",
            Kind::Message => "delivery",
        }
    }
}

/// Why an attempt has to stop before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody cancelled the export.
    Cancelled,
    /// The lease is gone, or could not be kept up: nothing may be written any more.
    LeaseLost,
    /// The daemon stops; the job is released, and no attempt is counted.
    Shutdown,
    /// The attempt has reached its deadline.
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
