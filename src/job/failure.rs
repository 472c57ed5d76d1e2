//! Why an attempt failed, in terms that the queue can act on. Made where the outside world is met (`source`, `store`, `mail`);
//! above those rooms nobody reads an SQLSTATE or an AWS code.

use std::fmt;
use std::time::Duration;

use crate::secret::hushed;

/// What shall become of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try again after a back-off; counts as an attempt.
    Retry,
    /// Another attempt would fail the same way: dead at once.
    Bury,
    /// A setting of the daemon is wrong: all jobs of this kind wait, and no attempt is counted.
    Hold,
    /// Something about this one request is wrong that an operator can correct: it waits, and no attempt is counted.
    Postpone,
    /// A mail that may have been sent.
    Unknown,
}

/// The class of an error: what `error_class` shows, stable for dashboards and filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The query is wrong: syntax, missing table, bad cast.
    Query,
    /// The role that runs the query lacks a privilege.
    Permission,
    /// The daemon's login may not become the role that the query runs as.
    Role,
    /// The query or the attempt ran too long.
    Timeout,
    /// No daemon that claimed the export knows its source.
    SourceConfig,
    /// The source is away, restarting or read-only.
    SourceUnavailable,
    /// A replica cancelled the query.
    ReplicaConflict,
    /// The source is short of connections, memory or disk.
    SourceOverloaded,
    /// The store is away or answers with its own faults.
    StoreUnavailable,
    /// The store asks to slow down.
    StoreThrottled,
    /// The bucket is missing or in another region.
    StoreConfig,
    /// The store refuses the daemon's credentials.
    StoreAccess,
    /// What is stored is not what was sent.
    Verification,
    /// The file is gone, changed or at the end of its life before its link was mailed.
    FileGone,
    /// The file is larger than the store or a limit allows.
    TooLarge,
    /// The provider asks to slow down.
    MailThrottled,
    /// The provider was not reached, so the mail was not sent.
    MailUnavailable,
    /// The provider may have taken the mail.
    MailUnknown,
    /// The provider refuses this mail or this address.
    MailRejected,
    /// The provider lists the address as suppressed.
    MailSuppressed,
    /// The sender, the account or the credentials are not usable.
    MailConfig,
    /// In-database export cannot be used as it is set up.
    AwsS3Config,
    /// A fault of exportbox itself.
    Internal,
}

impl FailureClass {
    /// Every class, in the order of their table in the documentation.
    pub const ALL: [FailureClass; 23] = [
        FailureClass::Query,
        FailureClass::Permission,
        FailureClass::Role,
        FailureClass::SourceConfig,
        FailureClass::Timeout,
        FailureClass::SourceUnavailable,
        FailureClass::ReplicaConflict,
        FailureClass::SourceOverloaded,
        FailureClass::AwsS3Config,
        FailureClass::StoreUnavailable,
        FailureClass::StoreThrottled,
        FailureClass::StoreConfig,
        FailureClass::StoreAccess,
        FailureClass::Verification,
        FailureClass::FileGone,
        FailureClass::TooLarge,
        FailureClass::MailThrottled,
        FailureClass::MailUnavailable,
        FailureClass::MailUnknown,
        FailureClass::MailRejected,
        FailureClass::MailSuppressed,
        FailureClass::MailConfig,
        FailureClass::Internal,
    ];

    /// The word in the `error_class` columns.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureClass::Query => "query",
            FailureClass::Permission => "permission",
            FailureClass::Role => "role",
            FailureClass::Timeout => "timeout",
            FailureClass::SourceConfig => "source_config",
            FailureClass::SourceUnavailable => "source_unavailable",
            FailureClass::ReplicaConflict => "replica_conflict",
            FailureClass::SourceOverloaded => "source_overloaded",
            FailureClass::StoreUnavailable => "store_unavailable",
            FailureClass::StoreThrottled => "store_throttled",
            FailureClass::StoreConfig => "store_config",
            FailureClass::StoreAccess => "store_access",
            FailureClass::Verification => "verification",
            FailureClass::FileGone => "file_gone",
            FailureClass::TooLarge => "too_large",
            FailureClass::MailThrottled => "mail_throttled",
            FailureClass::MailUnavailable => "mail_unavailable",
            FailureClass::MailUnknown => "mail_unknown",
            FailureClass::MailRejected => "mail_rejected",
            FailureClass::MailSuppressed => "mail_suppressed",
            FailureClass::MailConfig => "mail_config",
            FailureClass::AwsS3Config => "aws_s3_config",
            FailureClass::Internal => "internal",
        }
    }

    /// Whether something everybody needs is away or overloaded: no request can be blamed for it.
    pub fn is_outage(self) -> bool {
        matches!(
            self,
            FailureClass::SourceUnavailable
                | FailureClass::StoreUnavailable
                | FailureClass::StoreThrottled
                | FailureClass::MailThrottled
                | FailureClass::MailUnavailable
        )
    }

    /// The first delay and the longest delay of this class's back-off.
    pub fn delays(self) -> (Duration, Duration) {
        let (first_s, longest_s) = match self {
            // Failover takes up to two minutes; a mail or a small store hiccup is over sooner.
            FailureClass::SourceUnavailable | FailureClass::StoreUnavailable => (2, 300),
            FailureClass::StoreThrottled | FailureClass::MailThrottled => (1, 600),
            FailureClass::MailUnavailable | FailureClass::MailUnknown => (5, 3600),
            FailureClass::Role | FailureClass::SourceConfig | FailureClass::AwsS3Config => (60, 900),
            _ => (30, 1800),
        };
        (Duration::from_secs(first_s), Duration::from_secs(longest_s))
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed attempt. `sentence` is ours and shows everywhere; `detail` is the raw text, may hold data, and is for operators only.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of error.
    pub class: FailureClass,
    /// What shall become of the job.
    pub verdict: Verdict,
    /// One sentence in our own words that says what to do; never data of the query, never an address.
    pub sentence: String,
    /// The raw text of the database, store or provider. Never logged.
    pub detail: Option<String>,
    /// The least delay that the other side asked for.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure in our own words.
    pub fn new(class: FailureClass, verdict: Verdict, sentence: impl Into<String>) -> Failure {
        Failure { class, verdict, sentence: sentence.into(), detail: None, retry_after: None }
    }

    /// Add the raw text, without the signed links and logins that the other side may have echoed, cut to 4,000 characters.
    #[must_use]
    pub fn with_detail(mut self, detail: impl fmt::Display) -> Failure {
        // A text column takes no NUL.
        // guard: hushed
        let detail: String = hushed(&detail.to_string()).replace('\0', "\u{fffd}").chars().take(4000).collect();
        // What the other side says in brackets is not taken for its code.
        self.detail = Some(if detail.starts_with('[') { format!(" {detail}") } else { detail });
        self
    }

    /// Put the other side's code in front of the raw text: an SQLSTATE, or the name or number that S3, SES or a mail server gives to an error.
    /// What does not look like one is left out: the code alone is shown to readers, too.
    #[must_use]
    pub fn with_code(mut self, code: Option<&str>) -> Failure {
        let is_code =
            |code: &&str| (1..=64).contains(&code.len()) && code.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ' '));
        if let Some(code) = code.filter(is_code) {
            self.detail = Some(format!("[{code}] {}", self.detail.unwrap_or_default()));
        }
        self
    }

    /// Add the least delay that the other side asked for.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Option<Duration>) -> Failure {
        self.retry_after = delay;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.sentence)
    }
}

/// Without the detail: a `{:?}` in a log line must not leak.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("class", &self.class).field("verdict", &self.verdict).finish_non_exhaustive()
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_code_is_put_in_front_of_the_raw_text() {
        let failure =
            |detail: &str, code| Failure::new(FailureClass::Internal, Verdict::Retry, "").with_detail(detail).with_code(code).detail;
        for (detail, code, written) in [
            ("no such table", Some("42P01"), "[42P01] no such table"),
            ("slow", Some("KMS.ThrottlingException"), "[KMS.ThrottlingException] slow"),
            ("for ann@example.com", Some("ann@example.com"), "for ann@example.com"),
            ("[secret] words", None, " [secret] words"),
        ] {
            assert_eq!(failure(detail, code).as_deref(), Some(written));
        }
    }
}
