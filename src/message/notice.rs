//! Mails about failures: what a recipient of exports that died is told, and the operators' digest. Ids, names of reports, classes and sentences of
//! our own: never a query, a value, a name of a file or a link.

use chrono::{DateTime, Utc};
use minijinja::{Value, context};
use serde::Deserialize;
use uuid::Uuid;

use super::Prepared;
use super::compose::{Composed, TEMPLATES as TEXTS, counted, instant};
use crate::mail::single_line;

/// What is escaped follows from the ending of the name.
pub(super) const TEMPLATES: [(&str, &str); 4] = [
    ("failure.txt", include_str!("failure.txt")),
    ("failure.html", include_str!("failure.html")),
    ("digest.txt", include_str!("digest.txt")),
    ("digest.html", include_str!("digest.html")),
];

const FAILURE_FOOTER: &str = "You get this mail because your address was named as a recipient. Further failures are collected for a while \
    and told in one mail.";
const DIGEST_FOOTER: &str = "You get this mail because your address is in EXPORTBOX_OPERATORS. No mail comes when nothing has died.";

/// What a failure notice tells.
#[derive(Debug, Clone, Deserialize)]
pub struct Failures {
    /// The first of the exports that were to be mailed to this recipient.
    pub exports: Vec<FailedExport>,
    /// How many there are.
    pub count: i64,
}

/// An export that died, as its recipient is told.
#[derive(Debug, Clone, Deserialize)]
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

/// What operators have to look at.
#[derive(Debug, Clone, Deserialize)]
pub struct Digest {
    /// What died from then on,
    pub from: DateTime<Utc>,
    /// and before then.
    pub until: DateTime<Utc>,
    /// By kind, class and code; the most first.
    pub lines: Vec<DigestLine>,
}

/// Jobs that died of the same.
#[derive(Debug, Clone, Deserialize)]
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

pub(super) fn of_failures(failures: &Failures) -> Prepared {
    let about = failures.exports.first().filter(|_| failures.count == 1).map(|export| export.id);
    Prepared { composed: compose_failures(failures), about, link: None }
}

pub(super) fn of_digest(digest: &Digest) -> Prepared {
    Prepared { composed: compose_digest(digest), about: None, link: None }
}

/// Write a failure notice.
pub fn compose_failures(failures: &Failures) -> Composed {
    let Failures { exports, count } = failures;
    let count = *count;
    let subject =
        if count == 1 { "Your export could not be made".to_string() } else { format!("{} could not be made", counted(count, "export")) };
    let listed: Vec<Value> = exports
        .iter()
        .map(|export| {
            context! {
                id => export.id.to_string(),
                report => export.report.as_deref().map(single_line),
                requested_at => instant(export.requested_at),
                because => because(&export.error_class),
            }
        })
        .collect();
    let more = count - i64::try_from(listed.len()).unwrap_or(count);
    let values = context! {
        title => subject.as_str(),
        count,
        exports => listed,
        more => (more > 0).then(|| counted(more, "more export")),
        footer => FAILURE_FOOTER,
    };
    Composed { text: render("failure.txt", &values), html: render("failure.html", &values), subject }
}

/// Why, for people who know nothing of databases.
fn because(error_class: &str) -> &'static str {
    match error_class {
        "timeout" => "it took longer than it may",
        "too_large" => "it came to be larger than it may",
        "query" | "permission" | "role" | "source_config" | "aws_s3_config" => "there is a mistake in how it was set up",
        "source_unavailable" | "source_overloaded" | "replica_conflict" => "the database that it reads was not available",
        "store_unavailable" | "store_throttled" | "store_config" | "store_access" | "verification" => "the file could not be stored",
        _ => "of a technical fault",
    }
}

/// Write a digest.
pub fn compose_digest(digest: &Digest) -> Composed {
    let lines = &digest.lines;
    let of = |kind: &str| lines.iter().filter(|line| line.kind == kind).map(|line| line.jobs).sum::<i64>();
    let (exports, mails) = (of("export"), of("delivery"));
    let parts =
        [(exports, "export"), (mails, "mail")].into_iter().filter(|(count, _)| *count > 0).map(|(count, noun)| counted(count, noun));
    let what = parts.collect::<Vec<_>>().join(" and ");
    let subject = format!("exportbox: {what} failed");
    let listed: Vec<Value> = lines
        .iter()
        .map(|line| {
            context! {
                what => counted(line.jobs, if line.kind == "export" { "export" } else { "mail" }),
                error_class => line.error_class.as_str(),
                code => line.code.as_deref().map(single_line),
                oldest => instant(line.oldest),
                newest => instant(line.newest),
                what_to_do => line.what_to_do.as_deref(),
            }
        })
        .collect();
    let values = context! {
        title => format!("{what} failed for good"),
        from => instant(digest.from),
        until => instant(digest.until),
        lines => listed,
        footer => DIGEST_FOOTER,
    };
    Composed { text: render("digest.txt", &values), html: render("digest.html", &values), subject }
}

fn render(template: &str, values: &Value) -> String {
    let template = TEXTS.get_template(template).expect("the template is part of the program");
    template.render(values).expect("every name of the templates has a value above")
}
