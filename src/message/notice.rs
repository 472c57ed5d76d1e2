//! Mails about failures: what a recipient of exports that died is told, and the operators' digest. Ids, names of reports, classes and sentences of
//! our own: never a query, a value, a name of a file or a link.

use chrono::{DateTime, Utc};
use minijinja::{Value, context};

use super::Messenger;
use super::compose::{Composed, TEMPLATES as TEXTS, counted, instant};
use crate::job::{DigestLine, FailedExport, Failure, News, Notice, NoticeReceipt};
use crate::mail::{Message, single_line};

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

impl Messenger {
    /// Send a notice, once. `None`: there is nothing to tell.
    pub async fn notify(&self, notice: &Notice) -> Option<Result<NoticeReceipt, Failure>> {
        let news = notice.news.as_ref()?;
        let composed = compose(news);
        let message = Message {
            delivery_id: notice.id,
            export_id: match news {
                News::Failures { exports, count: 1 } => exports.first().map(|export| export.id),
                _ => None,
            },
            to: notice.recipient.clone(),
            subject: composed.subject,
            text: composed.text,
            html: composed.html,
        };
        let provider = self.mailer.provider();
        Some(self.mailer.send(&message).await.map(|message_id| NoticeReceipt { provider, message_id }))
    }
}

/// Write the mail.
pub fn compose(news: &News) -> Composed {
    match news {
        News::Failures { exports, count } => failures(exports, *count),
        News::Digest { from, until, lines } => digest(*from, *until, lines),
    }
}

fn failures(exports: &[FailedExport], count: i64) -> Composed {
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

fn digest(from: DateTime<Utc>, until: DateTime<Utc>, lines: &[DigestLine]) -> Composed {
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
        from => instant(from),
        until => instant(until),
        lines => listed,
        footer => DIGEST_FOOTER,
    };
    Composed { text: render("digest.txt", &values), html: render("digest.html", &values), subject }
}

fn render(template: &str, values: &Value) -> String {
    let template = TEXTS.get_template(template).expect("the template is part of the program");
    template.render(values).expect("every name of the templates has a value above")
}
