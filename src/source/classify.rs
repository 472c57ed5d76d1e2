//! From the source's errors to failures. The sentence is ours; PostgreSQL's text, which quotes data, goes to the detail.

use crate::job::{Failure, FailureClass, Verdict};

/// What was being done when the error came: the same SQLSTATE means other things at other times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Logging in.
    Connect,
    /// Setting role, time-outs and parameters.
    Open,
    /// Running the request's query.
    Query,
    /// Calling aws_s3 with it.
    AwsS3,
}

pub(super) fn unreachable(detail: &str) -> Failure {
    let sentence = "The source database cannot be reached. The export is tried again; check the network and the server.";
    Failure::new(FailureClass::SourceUnavailable, Verdict::Retry, sentence).with_detail(detail)
}

pub(super) fn failure(error: &tokio_postgres::Error, phase: Phase) -> Failure {
    let Some(db) = error.as_db_error() else {
        let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        return unreachable(&cause);
    };
    let detail = [Some(db.message()), db.detail(), db.hint(), db.where_()].into_iter().flatten().collect::<Vec<_>>().join("\n");
    let (class, verdict, sentence) = judge(db.code().code(), phase, db.detail().unwrap_or_default());
    Failure::new(class, verdict, sentence).with_detail(detail).with_code(Some(db.code().code()))
}

fn judge(code: &str, phase: Phase, detail: &str) -> (FailureClass, Verdict, String) {
    use FailureClass as Class;
    let said = |class, verdict, sentence: &str| (class, verdict, format!("{sentence} (SQLSTATE {code})."));
    match (code, phase) {
        ("28P01" | "28000" | "3D000", Phase::Connect) => said(
            Class::SourceUnavailable,
            Verdict::Hold,
            "The source database refuses the login; check EXPORTBOX_SOURCE_URL or EXPORTBOX_DATABASE_URL",
        ),
        ("42501" | "22023" | "42704", Phase::Open) => said(
            Class::Role,
            Verdict::Postpone,
            "The daemon's login may not become the role that this export runs as; grant that role to the login",
        ),
        ("58000" | "38000", Phase::AwsS3) => store(code, detail),
        ("3F000" | "42883" | "42725", Phase::AwsS3) if detail.is_empty() => said(
            Class::AwsS3Config,
            Verdict::Postpone,
            "aws_s3 is not usable on this server; create or update the extension, or set EXPORTBOX_EXPORTER=copy",
        ),
        ("57014", _) => {
            said(Class::Timeout, Verdict::Retry, "The query ran past its time limit; make it faster, or ask for a longer timeout")
        }
        ("40001" | "40P01", _) => said(Class::ReplicaConflict, Verdict::Retry, "The server gave up the query in favour of another"),
        // Nobody's fault, however often it happens; short of memory or disk may well be the query's own.
        ("53300", _) => said(Class::SourceUnavailable, Verdict::Retry, "The source database has no free connection"),
        // A pooler that nobody has told of, or what a report did to its session: another connection does not have it.
        ("26000", _) => said(Class::SourceUnavailable, Verdict::Retry, "The connection to the source lost what was prepared on it"),
        ("55P03", _) => said(Class::SourceOverloaded, Verdict::Retry, "The query waited too long for a lock"),
        ("42501", Phase::Query | Phase::AwsS3) => {
            said(Class::Permission, Verdict::Bury, "The role that runs the query lacks a privilege; grant it, then requeue")
        }
        ("53400", _) => said(Class::Query, Verdict::Bury, "The query needs more temporary space than its login may use"),
        ("42P01", _) => said(Class::Query, Verdict::Bury, "The query names a table or view that does not exist"),
        ("42703", _) => said(Class::Query, Verdict::Bury, "The query names a column that does not exist"),
        ("42883", _) => said(Class::Query, Verdict::Bury, "The query calls a function or operator that does not exist for these types"),
        ("42601", _) => said(Class::Query, Verdict::Bury, "The query is not one valid SELECT statement"),
        ("25001" | "25006", _) => said(Class::Query, Verdict::Bury, "The query tries to write; exports only read"),
        ("0A000", _) => said(Class::Query, Verdict::Bury, "The query or a format option asks for what this server cannot do"),
        ("42P02", _) => said(Class::Query, Verdict::Bury, "The query has a $ placeholder; read parameters with exportbox.param('name')"),
        ("22P02" | "22007" | "22008", _) => said(Class::Query, Verdict::Bury, "A value cannot be read as the type that the query wants"),
        ("22012", _) => said(Class::Query, Verdict::Bury, "The query divides by zero"),
        ("22P05", _) => said(Class::Query, Verdict::Bury, "A character cannot be written in the encoding that was asked for"),
        (code, Phase::Connect) if !["08", "53", "57"].contains(&code.get(..2).unwrap_or_default()) => {
            said(Class::SourceUnavailable, Verdict::Hold, "The source database does not let the daemon in; check its login's rights")
        }
        (code, Phase::Open) if !["08", "40", "53", "57"].contains(&code.get(..2).unwrap_or_default()) => said(
            Class::Role,
            Verdict::Postpone,
            "The export's session could not be set up; an operator sees the server's own words in: exportbox show",
        ),
        _ => by_class(code),
    }
}

/// SQLSTATE's first two characters say enough for the rest.
fn by_class(code: &str) -> (FailureClass, Verdict, String) {
    use FailureClass as Class;
    let (class, verdict, sentence) = match code.get(..2).unwrap_or_default() {
        "08" | "57" => (Class::SourceUnavailable, Verdict::Retry, "The source database went away while the query ran"),
        "53" => (Class::SourceOverloaded, Verdict::Retry, "The source database is short of memory or disk"),
        "58" | "XX" => (Class::Internal, Verdict::Retry, "The source database failed inside; see its log"),
        "25" | "40" => (Class::ReplicaConflict, Verdict::Retry, "The server ended the transaction"),
        _ => (Class::Query, Verdict::Bury, "The query failed; an operator sees the server's own words in: exportbox show"),
    };
    (class, verdict, format!("{sentence} (SQLSTATE {code})."))
}

/// Wordings of aws_s3 change between versions (aws-facts: match on SQLSTATE first, the text only picks a hint).
fn store(code: &str, detail: &str) -> (FailureClass, Verdict, String) {
    use FailureClass as Class;
    let has = |words: &[&str]| words.iter().any(|word| detail.to_ascii_lowercase().contains(word));
    let (class, verdict, sentence) = if has(&["access denied", "accessdenied", "forbidden", "kms"]) {
        (Class::StoreAccess, Verdict::Hold, "S3 refuses the database's role; check its policy, the bucket policy and the key")
    } else if has(&["bucket", "redirect", "moved"]) {
        (Class::StoreConfig, Verdict::Hold, "S3 does not know the bucket in this region; check EXPORTBOX_BUCKET and AWS_REGION")
    } else {
        (Class::StoreUnavailable, Verdict::Retry, "The database could not upload to S3; check its route to S3 and its s3Export role")
    };
    (class, verdict, format!("{sentence} (SQLSTATE {code})."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_requests_own_fault_dies() {
        let verdict = |code, phase| judge(code, phase, "").1;
        for code in ["42P01", "42601", "42703", "22P02", "22012", "42501", "25006", "P0001"] {
            assert_eq!(verdict(code, Phase::Query), Verdict::Bury, "{code}");
        }
        for code in ["57P01", "57P03", "08006", "53300", "40001", "40P01", "55P03", "57014", "XX000"] {
            assert_eq!(verdict(code, Phase::Query), Verdict::Retry, "{code}");
        }
        assert_eq!(judge("53300", Phase::Connect, "").0, FailureClass::SourceUnavailable, "an outage, which ends no job");
        assert_eq!(verdict("42501", Phase::Open), Verdict::Postpone);
        assert_eq!(verdict("28P01", Phase::Connect), Verdict::Hold);
        assert_eq!(judge("58000", Phase::AwsS3, "Amazon S3 client returned 'Access Denied'.").1, Verdict::Hold);
        assert_eq!(judge("58000", Phase::AwsS3, "Amazon S3 client returned 'Unable to connect to endpoint'.").1, Verdict::Retry);
        assert_eq!(verdict("42P01", Phase::AwsS3), Verdict::Bury);
    }
}
