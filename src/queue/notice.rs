//! Notices: gathered from what died, claimed one at a time, settled by their token. Not a part of the claim cycle, which pays nothing for them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Queue;
use crate::database::{DatabaseError, ms};
use crate::job::{DigestLine, FailedExport, Failure, LeaseToken, News, Notice, NoticeReceipt, Recipient, Verdict, backoff};
use crate::sql;

/// How long a claimed notice stays with its worker: several times what the one call of a provider may take.
pub const NOTICE_LEASE: Duration = Duration::from_secs(120);
/// Exports that one run of `gather_failures` puts into notices.
const BATCH: i64 = 200;
/// When a setting is wrong, or something else around the mail: tried again after this long, without end but for three days.
const POSTPONED: Duration = Duration::from_secs(300);

/// What a claim found.
#[derive(Debug)]
pub enum ClaimedNotice {
    /// One to send.
    Taken(Notice),
    /// One whose worker was lost was given up; there may be more.
    GivenUp,
    /// Nothing is due.
    None,
}

/// What is written about an attempt.
struct Ruling {
    status: &'static str,
    again: Option<Duration>,
    is_given_back: bool,
}

impl Queue {
    /// Put exports that died into notices to their recipients, one a recipient and window.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn gather_failures(&self, window: Duration) -> Result<(), DatabaseError> {
        loop {
            let row = self.pool.query_opt(sql::GATHER_FAILURES, &[&ms(window)]).await?;
            if row.is_none_or(|row| row.get::<_, i64>("exports") < BATCH) {
                return Ok(());
            }
        }
    }

    /// Make the operators' digests up to the last full period, if anything died.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn gather_digest(&self, operators: &[Recipient], every: Duration) -> Result<(), DatabaseError> {
        let addresses: Vec<&str> = operators.iter().map(Recipient::reveal).collect();
        self.pool.query(sql::GATHER_DIGEST, &[&addresses, &ms(every)]).await.map(drop)
    }

    /// Take one notice that is due, with what it tells; from here on it counts as being sent.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn claim_notice(&self) -> Result<ClaimedNotice, DatabaseError> {
        let policy = &self.policy;
        let row = self.pool.query_opt(sql::CLAIM_NOTICE, &[&ms(NOTICE_LEASE), &policy.delivery_attempts, &policy.hold_unknown]).await?;
        let Some(row) = row else { return Ok(ClaimedNotice::None) };
        let Some(token) = row.get::<_, Option<Uuid>>("lease_token") else { return Ok(ClaimedNotice::GivenUp) };
        let id: Uuid = row.get("id");
        let covers = row.get::<_, Option<DateTime<Utc>>>("covers_from").zip(row.get("covers_until"));
        let news = match covers {
            Some((from, until)) => self.load_digest(from, until).await?,
            None => self.load_failures(id).await?,
        };
        let recipient = Recipient::new(row.get::<_, String>("recipient"));
        Ok(ClaimedNotice::Taken(Notice { id, token: LeaseToken(token), recipient, attempt: row.get("attempt"), news }))
    }

    async fn load_failures(&self, id: Uuid) -> Result<Option<News>, DatabaseError> {
        let rows = self.pool.query(sql::LOAD_FAILURES, &[&id]).await?;
        let Some(count) = rows.first().map(|row| row.get("exports")) else { return Ok(None) };
        let exports = rows.iter().map(|row| FailedExport {
            id: row.get("id"),
            report: row.get("report"),
            requested_at: row.get("requested_at"),
            error_class: row.get("error_class"),
        });
        Ok(Some(News::Failures { exports: exports.collect(), count }))
    }

    async fn load_digest(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Option<News>, DatabaseError> {
        let rows = self.pool.query(sql::LOAD_DIGEST, &[&from, &until]).await?;
        let lines = rows.iter().map(|row| DigestLine {
            kind: row.get("kind"),
            error_class: row.get("error_class"),
            code: row.get("code"),
            jobs: row.get("jobs"),
            oldest: row.get("oldest"),
            newest: row.get("newest"),
            what_to_do: row.get("what_to_do"),
        });
        let lines: Vec<DigestLine> = lines.collect();
        Ok(Some(News::Digest { from, until, lines }).filter(|_| !rows.is_empty()))
    }

    /// Write what became of a notice. `None`: there was nothing to tell any more. Tries again while the database is away; what cannot be
    /// written comes back when its lease has ended, as one that may have been sent. Returns its status; none: the lease was gone.
    ///
    /// # Errors
    /// When the database stayed away.
    pub async fn settle_notice(
        &self,
        notice: Notice,
        sent: Option<Result<NoticeReceipt, Failure>>,
    ) -> Result<Option<String>, DatabaseError> {
        let verdict = match &sent {
            None => Ruling { status: "cancelled", again: None, is_given_back: false },
            Some(Ok(_)) => Ruling { status: "accepted", again: None, is_given_back: false },
            Some(Err(failure)) => self.verdict(failure, notice.attempt),
        };
        let receipt = sent.as_ref().and_then(|sent| sent.as_ref().ok());
        let failure = sent.as_ref().and_then(|sent| sent.as_ref().err());
        let (provider, message_id) = (receipt.map(|receipt| receipt.provider), receipt.map(|receipt| receipt.message_id.as_str()));
        let (class, sentence) = (failure.map(|failure| failure.class.as_str()), failure.map(|failure| failure.sentence.as_str()));
        let again = verdict.again.map(ms);
        let params: [&(dyn ToSql + Sync); 9] =
            [&notice.id, &notice.token.0, &verdict.status, &again, &verdict.is_given_back, &provider, &message_id, &class, &sentence];
        let give_up = tokio::time::Instant::now() + NOTICE_LEASE / 2;
        loop {
            match self.pool.query_opt(sql::SETTLE_NOTICE, &params).await {
                Err(error) if error.is_transient() && tokio::time::Instant::now() < give_up => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                settled => return Ok(settled?.map(|row| row.get("status"))),
            }
        }
    }

    fn verdict(&self, failure: &Failure, attempt: i16) -> Ruling {
        let is_last = attempt >= self.policy.delivery_attempts;
        let delay = backoff(failure, attempt, fastrand::f64());
        match failure.verdict {
            Verdict::Unknown if is_last || self.policy.hold_unknown => Ruling { status: "unknown", again: None, is_given_back: false },
            Verdict::Unknown => Ruling { status: "unknown", again: Some(delay), is_given_back: false },
            Verdict::Retry if !is_last => Ruling { status: "pending", again: Some(delay), is_given_back: false },
            Verdict::Retry | Verdict::Bury => Ruling { status: "dead", again: None, is_given_back: false },
            Verdict::Hold | Verdict::Postpone => Ruling { status: "pending", again: Some(delay.max(POSTPONED)), is_given_back: true },
        }
    }

    /// How long until a notice is to be sent, or a digest may be. None: neither is next_due.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn next_notice(&self, digest_every: Option<Duration>) -> Result<Option<Duration>, DatabaseError> {
        let row = self.pool.query_opt(sql::NEXT_NOTICE, &[&digest_every.map(ms)]).await?;
        let sleep_ms: Option<i64> = row.and_then(|row| row.get("sleep_ms"));
        Ok(sleep_ms.map(|sleep| Duration::from_millis(sleep.max(0).unsigned_abs())))
    }

    /// Forget the notices of more than a month ago.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn forget_notices(&self) -> Result<(), DatabaseError> {
        self.pool.query(sql::FORGET_NOTICES, &[]).await.map(drop)
    }
}
