//! What an attempt came to. Handlers return it; `queue/settle.rs` alone writes it (I8).

use chrono::{DateTime, Utc};

use super::{Failure, StopReason};

/// One stored and verified file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestPart {
    /// Its key in the bucket.
    pub key: String,
    /// Its size as the store reported it.
    pub bytes: i64,
    /// `sha256:` and the hex digest, where the daemon saw the bytes.
    pub checksum: Option<String>,
}

/// The result of an export: what is stored, and what a download of it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Where.
    pub bucket: String,
    /// The file is these, in order, end to end.
    pub parts: Vec<ManifestPart>,
    /// Data rows, the header not counted.
    pub rows: i64,
    /// What the link answers as content type.
    pub content_type: String,
    /// What the browser saves.
    pub filename: String,
    /// The instant whose data this is.
    pub as_of: DateTime<Utc>,
}

impl Manifest {
    /// Size of all parts.
    pub fn bytes(&self) -> i64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// The provider took a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// `ses`, `smtp` or `file`.
    pub provider: &'static str,
    /// The provider's id of the message.
    pub message_id: String,
    /// When the mailed link dies; none: it has no link.
    pub link_expires_at: Option<DateTime<Utc>>,
    /// What made it die earlier than asked: `credentials` or `object`.
    pub link_cut_by: Option<&'static str>,
}

/// What an attempt came to.
#[derive(Debug)]
pub enum Outcome {
    /// The file is stored and verified.
    Exported(Manifest),
    /// The mail is with the provider.
    Sent(Receipt),
    /// The mail has nothing to tell any more, and was not sent.
    Moot,
    /// It failed; the failure says what becomes of the job.
    Failed(Failure),
    /// It was stopped; the reason says what becomes of the job. `maybe_sent`: a mail may have left before.
    Stopped {
        /// Who stopped it.
        reason: StopReason,
        /// A mail may have left before.
        maybe_sent: bool,
    },
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Outcome {
        Outcome::Failed(failure)
    }
}

impl From<StopReason> for Outcome {
    fn from(reason: StopReason) -> Outcome {
        Outcome::Stopped { reason, maybe_sent: false }
    }
}
