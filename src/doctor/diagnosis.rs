//! What was found, and what to do about it.

use serde::Serialize;

use crate::database::DatabaseError;
use crate::job::Failure;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Nothing to do.
    Ok,
    /// It does not apply, or what it builds on is missing.
    Skipped,
    /// It works, and something should be done.
    Warn,
    /// It does not work.
    Fail,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check; stable, for programs.
    pub name: &'static str,
    /// How it ended.
    pub status: CheckStatus,
    /// What was found.
    pub finding: String,
    /// What to do.
    pub fix: Option<String>,
}

/// All findings, in the order in which things build on each other.
#[derive(Debug)]
pub struct Diagnosis {
    /// One for each check.
    pub findings: Vec<Finding>,
    /// Why a daemon with these settings would not even start.
    pub refused: Option<DatabaseError>,
}

impl Diagnosis {
    /// How many ended so.
    pub fn count(&self, status: CheckStatus) -> usize {
        self.findings.iter().filter(|finding| finding.status == status).count()
    }

    /// The finding of this check.
    pub fn of(&self, name: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.name == name)
    }
}

impl Finding {
    pub(super) fn ok(name: &'static str, finding: impl Into<String>) -> Finding {
        Finding { name, status: CheckStatus::Ok, finding: finding.into(), fix: None }
    }

    pub(super) fn skipped(name: &'static str, why: impl Into<String>) -> Finding {
        Finding { name, status: CheckStatus::Skipped, finding: why.into(), fix: None }
    }

    pub(super) fn warn(name: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { name, status: CheckStatus::Warn, finding: finding.into(), fix: Some(fix.into()) }
    }

    pub(super) fn fail(name: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { name, status: CheckStatus::Fail, finding: finding.into(), fix: Some(fix.into()) }
    }

    /// What the job tables refused.
    pub(super) fn refused(name: &'static str, error: &DatabaseError) -> Finding {
        let fix = match error {
            DatabaseError::Unavailable(_) => "check host, port and network in EXPORTBOX_DATABASE_URL, and that the server runs",
            DatabaseError::Busy(_) => "see who holds it, in pg_stat_activity and pg_locks, and try again",
            _ => "see docs/dba.md",
        };
        Finding::split(name, &error.to_string(), &["; "], fix)
    }

    /// Why an attempt would fail. Its sentence says what is wrong, and mostly what to do.
    pub(super) fn failed(name: &'static str, failure: &Failure) -> Finding {
        let otherwise = format!("see the error class {} in docs/operations/error-classes.md", failure.class);
        Finding::split(name, &failure.sentence, &["; ", ": "], &otherwise)
    }

    /// Our sentences say what is wrong, and then what to do.
    fn split(name: &'static str, sentence: &str, between: &[&str], otherwise: &str) -> Finding {
        let sentence = sentence.trim_end_matches('.');
        let (is, fix) = between.iter().find_map(|mark| sentence.split_once(mark)).unwrap_or((sentence, otherwise));
        Finding::fail(name, is, fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{FailureClass, Verdict};

    #[test]
    fn a_sentence_is_taken_apart_into_what_is_and_what_to_do() {
        let finding = |sentence: &str| Finding::failed("bucket", &Failure::new(FailureClass::StoreConfig, Verdict::Hold, sentence));
        let missing = finding("The bucket does not exist: check EXPORTBOX_BUCKET.");
        assert_eq!((missing.finding.as_str(), missing.fix.as_deref()), ("The bucket does not exist", Some("check EXPORTBOX_BUCKET")));
        let slow = finding("The store asks to slow down.");
        assert_eq!(slow.finding, "The store asks to slow down");
        assert!(slow.fix.is_some_and(|fix| fix.contains("store_config")));
    }

    #[test]
    fn every_refusal_of_the_tables_comes_with_something_to_do() {
        for error in [
            DatabaseError::Unavailable("closed".into()),
            DatabaseError::ReadOnly,
            DatabaseError::Login("no".into()),
            DatabaseError::Pooler("lost".into()),
            DatabaseError::Schema("old; run: exportbox migrate".into()),
            DatabaseError::Privilege("no".into()),
            DatabaseError::Statement("no".into()),
        ] {
            let finding = Finding::refused("database", &error);
            assert!(finding.status == CheckStatus::Fail && finding.fix.is_some_and(|fix| fix.len() > 10), "{error}");
        }
        let refused = Finding::refused("database", &DatabaseError::Unavailable("connect: refused (os error 111)".into()));
        assert_eq!(refused.finding, "the database cannot be reached (connect: refused (os error 111))");
    }
}
