//! A mail about failures: to somebody who waits for exports that died, or to an operator.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{LeaseToken, Recipient};

/// A claimed notice. Settled by value, as a lease is.
#[derive(Debug)]
pub struct Notice {
    /// Carried by the mail.
    pub id: Uuid,
    /// Which claim.
    pub token: LeaseToken,
    /// To whom.
    pub recipient: Recipient,
    /// Which attempt this is, from 1.
    pub attempt: i16,
    /// What it tells. `None`: nothing of it is dead any more.
    pub news: Option<News>,
}

/// What a notice tells.
#[derive(Debug, Clone)]
pub enum News {
    /// Exports that were to be mailed to this recipient.
    Failures {
        /// The first of them.
        exports: Vec<FailedExport>,
        /// How many there are.
        count: i64,
    },
    /// What operators have to look at.
    Digest {
        /// What died from then on,
        from: DateTime<Utc>,
        /// and before then.
        until: DateTime<Utc>,
        /// By kind, class and code; the most first.
        lines: Vec<DigestLine>,
    },
}

/// An export that died, as its recipient is told.
#[derive(Debug, Clone)]
pub struct FailedExport {
    /// The reference.
    pub id: Uuid,
    /// Name of the report in the catalogue; `None` for an ad-hoc query.
    pub report: Option<String>,
    /// When it was requested.
    pub requested_at: DateTime<Utc>,
    /// Class of the error that it died of.
    pub error_class: String,
}

/// Jobs that died of the same.
#[derive(Debug, Clone)]
pub struct DigestLine {
    /// `export` or `delivery`.
    pub kind: String,
    /// Class of the error.
    pub error_class: String,
    /// SQLSTATE, or the code of S3, SES or the mail server.
    pub code: Option<String>,
    /// How many.
    pub jobs: i64,
    /// When the first of them died.
    pub oldest: DateTime<Utc>,
    /// When the last of them did.
    pub newest: DateTime<Utc>,
    /// What to do about it.
    pub what_to_do: Option<String>,
}

/// The provider took a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeReceipt {
    /// `ses`, `smtp` or `file`.
    pub provider: &'static str,
    /// The provider's id of the message.
    pub message_id: String,
}
