//! The mailbox: every recipient's mails, counted, and every link in them downloaded.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use mail_parser::MessageParser;
use uuid::Uuid;

use super::tables::Tables;
use super::{Findings, files};
use crate::ledger::{Request, Wish};
use crate::world::World;

/// What the settings say; no request asks for another.
const LINK_LIFE: TimeDelta = TimeDelta::hours(24);
/// Between signing and the provider's stamp lie at most a stall, a stop, and the provider's own delay.
const TOLERANCE: TimeDelta = TimeDelta::minutes(2);

/// One mail.
pub struct Mail {
    pub to: String,
    /// By the mailbox's clock.
    pub at: DateTime<Utc>,
    pub export_id: Option<Uuid>,
    pub links: Vec<String>,
    /// It tells of failures.
    pub is_notice: bool,
}

/// All mails.
pub struct Mailbox {
    /// Those of exports.
    pub mails: Vec<Mail>,
    pub notices: Vec<Mail>,
}

impl Mailbox {
    pub fn read(dir: &Path) -> Mailbox {
        let mut paths: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "eml"));
        paths.sort();
        let read = |path: &std::path::PathBuf| {
            let raw = std::fs::read(path).unwrap();
            let mail = MessageParser::default().parse(&raw).unwrap();
            let text = mail.body_text(0).unwrap().into_owned();
            let mut words = text.split_whitespace();
            Mail {
                to: mail.to().and_then(|to| to.first()).and_then(|to| to.address()).unwrap_or_default().to_string(),
                at: mail.date().and_then(|date| DateTime::from_timestamp(date.to_timestamp(), 0)).unwrap_or_default(),
                export_id: words.find(|word| *word == "Reference:").and_then(|_| words.nth(1)).and_then(|id| id.parse().ok()),
                is_notice: mail.subject().is_some_and(|subject| subject.ends_with("could not be made")),
                links: text.split_whitespace().filter(|word| word.contains("X-Amz-Signature=")).map(ToString::to_string).collect(),
            }
        };
        let (notices, mails) = paths.iter().map(read).partition(|mail| mail.is_notice);
        Mailbox { mails, notices }
    }

    /// The mails of exports to an address, oldest first.
    pub fn to<'a>(&'a self, address: &'a str) -> impl Iterator<Item = &'a Mail> {
        self.mails.iter().filter(move |mail| mail.to == address)
    }

    /// How many mails told an address of failures.
    pub fn told(&self, address: &str) -> i64 {
        self.notices.iter().map(|mail| i64::from(mail.to == address)).sum()
    }
}

/// Each mail belongs to a delivery, no more of them than are accounted for, and what it points to can be had.
pub async fn check(world: &World, tables: &Tables, mailbox: &Mailbox, requests: &[Request], findings: &mut Findings) {
    let by_id: HashMap<Uuid, &Request> = requests.iter().map(|request| (request.id, request)).collect();
    let mut by_recipient: HashMap<&str, Vec<&Mail>> = HashMap::new();
    for mail in &mailbox.mails {
        by_recipient.entry(&mail.to).or_default().push(mail);
    }
    for (to, mails) in &by_recipient {
        let Some((delivery, request)) = tables.deliveries.get(*to).and_then(|found| Some((found, *by_id.get(&found.export_id)?))) else {
            findings.violation(format_args!("mail: {} of an address that no delivery has", mails.len()));
            continue;
        };
        let extras = mails.len() - 1;
        findings.counts.doubled += extras;
        let uncovered = extras.saturating_sub(usize::try_from(delivery.unknown).unwrap_or_default());
        if uncovered > 0 {
            findings.counts.silent += uncovered;
            findings.violation(format_args!(
                "silent: job {} sent {} mails, {} events say so",
                delivery.job_id,
                mails.len(),
                delivery.unknown
            ));
        }
        cancelled_in_time(mails, delivery.unknown, request, findings);
        if delivery.status == "accepted"
            && !mails.iter().any(|mail| life(mail).is_some_and(|(_, ends)| Some(ends) == delivery.link_expires_at))
        {
            findings.violation(format_args!("link: job {} stored another death of its link than any mail has", delivery.job_id));
        }
    }
    notices(tables, mailbox, findings);
    let (injected, doubled) = (world.tally.ambiguities(), findings.counts.doubled);
    if doubled as u64 > injected {
        findings.counts.silent += doubled - injected as usize;
        findings.violation(format_args!("silent: {doubled} mails too many, and only {injected} faults that can double one"));
    }
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
    let downloads = futures_util::stream::iter(&mailbox.mails).map(async |mail| match mail.export_id.and_then(|id| by_id.get(&id)) {
        Some(request) => (mail, download(world, &http, mail, request).await),
        None => (mail, Err("it names no export of ours".into())),
    });
    for (mail, downloaded) in downloads.buffer_unordered(8).collect::<Vec<_>>().await {
        if let Err(what) = downloaded {
            findings.violation(format_args!("link: a mail about {:?}: {what}", mail.export_id));
        }
    }
}

/// Mails about failures: no more of them than there are notices, but for those that an event accounts for.
fn notices(tables: &Tables, mailbox: &Mailbox, findings: &mut Findings) {
    let addresses: HashSet<&str> = mailbox.notices.iter().map(|mail| mail.to.as_str()).collect();
    for to in addresses {
        let (told, known) = (mailbox.told(to), tables.notices.get(to));
        let (accepted, unknown) = known.map_or((0, 0), |known| (known.accepted, known.unknown));
        let extras = (told - accepted).max(0);
        findings.counts.doubled += usize::try_from(extras).unwrap_or_default();
        if extras > unknown {
            findings.counts.silent += usize::try_from(extras - unknown).unwrap_or_default();
            findings.violation(format_args!("silent: an address was told {told} times, {accepted} notices and {unknown} events say so"));
        }
    }
}

/// When the answer was that nothing runs any more, only a mail that was in doubt before may come after it.
fn cancelled_in_time(mails: &[&Mail], unknown: i64, request: &Request, findings: &mut Findings) {
    let Some(cancelled) = request.cancelled.as_ref().filter(|_| request.wish == Wish::Cancel) else { return };
    let late = mails.iter().any(|mail| mail.at > cancelled.at + TimeDelta::seconds(1));
    if cancelled.answer.as_deref() == Some("cancelled") && late && unknown == 0 {
        findings.violation(format_args!("cancel: {} was cancelled, and mailed afterwards", request.id));
    }
}

/// When the first of a mail's links was signed, and when the first of them dies.
fn life(mail: &Mail) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let of_link = |link: &String| {
        let link = reqwest::Url::parse(link).ok()?;
        let value = |name: &str| link.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned());
        let signed = NaiveDateTime::parse_from_str(&value("X-Amz-Date")?, "%Y%m%dT%H%M%SZ").ok()?.and_utc();
        Some((signed, signed + TimeDelta::seconds(value("X-Amz-Expires")?.parse().ok()?)))
    };
    mail.links.iter().map(of_link).collect::<Option<Vec<_>>>()?.into_iter().min_by_key(|(_, ends)| *ends)
}

/// The links of a mail, taken together, give the file; and they live as long as they should.
async fn download(world: &World, http: &reqwest::Client, mail: &Mail, request: &Request) -> Result<(), String> {
    let (signed, ends) = life(mail).ok_or("it has no link, or one that is not signed")?;
    if (signed - mail.at).abs() > TOLERANCE || ends < mail.at + LINK_LIFE - TOLERANCE || ends > mail.at + LINK_LIFE + TOLERANCE {
        return Err(format!("sent at {}, its link lives from {signed} to {ends}", mail.at));
    }
    let mut bytes = Vec::new();
    for link in &mail.links {
        let answer = http.get(link).send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("its link answers {status}"));
        }
        bytes.extend_from_slice(&body);
    }
    files::is_content(world, request, &bytes)
}
