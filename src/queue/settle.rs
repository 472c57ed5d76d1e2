//! The only place that writes what became of a job (I8).

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Lease, Queue};
use crate::database::{DatabaseError, ms};
use crate::job::{Failure, FailureClass, Kind, Outcome, State, StopReason, Verdict, backoff};
use crate::sql;

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The outcome is written; the job is in this state.
    Done(State),
    /// Somebody else ended the lease: nothing was written. A value, not an error.
    LeaseLost,
}

impl Queue {
    /// Write an outcome. Takes the lease by value: a lease is settled once. Tries again while the database is away, until the lease must be
    /// taken for lost; a commit whose reply was lost is recognised.
    ///
    /// # Errors
    /// When the database stayed away for a whole lease, or refused the statement. The job comes back by reap.
    pub async fn settle(&self, lease: Lease, outcome: Outcome) -> Result<Settled, DatabaseError> {
        // Its work is over, so it can no longer crash this process: another job on its last chance may come.
        self.cursors().end_last_chance(lease.token());
        let give_up = tokio::time::Instant::now() + self.policy.lease;
        let mut delay = Duration::from_millis(100);
        let mut ambiguous = false;
        loop {
            match self.settle_once(&lease, &outcome).await {
                Err(error) if error.is_transient() && tokio::time::Instant::now() + delay < give_up => {
                    ambiguous = true;
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(Duration::from_secs(5));
                }
                Ok(Settled::LeaseLost) if ambiguous => return self.read_outcome(&lease).await,
                settled => return settled,
            }
        }
    }

    /// Our first try may have been committed although its reply was lost. The attempt's row tells.
    async fn read_outcome(&self, lease: &Lease) -> Result<Settled, DatabaseError> {
        let row = self.pool.query_opt(sql::ATTEMPT_OUTCOME, &[&lease.token().0]).await?;
        let outcome: Option<String> = row.and_then(|row| row.get("outcome"));
        Ok(match outcome.as_deref() {
            Some("completed") => Settled::Done(State::Completed),
            Some("buried") => Settled::Done(State::Dead),
            Some("cancelled") => Settled::Done(State::Cancelled),
            Some("retried" | "released") => Settled::Done(State::Pending),
            _ => Settled::LeaseLost,
        })
    }

    async fn settle_once(&self, lease: &Lease, outcome: &Outcome) -> Result<Settled, DatabaseError> {
        match outcome {
            Outcome::Exported(manifest) => self.complete_export(lease, manifest).await,
            Outcome::Sent(receipt) => self.complete_message(lease, receipt).await,
            Outcome::Moot => self.settle_cancelled(lease, false, "There was nothing to tell any more.").await,
            Outcome::Failed(failure) => self.fail(lease, failure).await,
            Outcome::Stopped { reason, maybe_sent } => match reason {
                StopReason::Cancelled => self.settle_cancelled(lease, *maybe_sent, "Cancelled while it ran.").await,
                StopReason::LeaseLost => Ok(Settled::LeaseLost),
                StopReason::Shutdown if !maybe_sent => self.release(lease, Duration::ZERO, None).await,
                StopReason::Shutdown => self.fail(lease, &maybe_sent_failure()).await,
                StopReason::Deadline if *maybe_sent => self.fail(lease, &maybe_sent_failure()).await,
                StopReason::Deadline => {
                    let sentence = "The attempt ran past its time limit. Make the query faster, or ask for a longer timeout.";
                    self.fail(lease, &Failure::new(FailureClass::Timeout, Verdict::Retry, sentence)).await
                }
            },
        }
    }

    async fn fail(&self, lease: &Lease, failure: &Failure) -> Result<Settled, DatabaseError> {
        let delay = backoff(failure, lease.attempt(), fastrand::f64());
        // An outage is not the fault of the request and may last long: it counts no attempt, unless the request asked for few attempts.
        let usual = lease.kind() == Kind::Message || lease.max_attempts() >= self.policy.export_attempts;
        match failure.verdict {
            Verdict::Retry if failure.class.is_outage() && usual => {
                // The number of attempts stays the same during an outage, so the back-off grows with the number of leases.
                let delay = backoff(failure, i16::try_from(lease.number()).unwrap_or(i16::MAX), fastrand::f64());
                self.release(lease, delay, Some(failure)).await
            }
            Verdict::Retry => self.retry(lease, failure, delay, false).await,
            Verdict::Unknown if self.policy.hold_unknown => {
                let sentence = "The mail may have been sent. Requeue to send it again.";
                let held = Failure { sentence: sentence.into(), ..failure.clone() };
                self.bury(lease, &held, "unknown").await
            }
            Verdict::Unknown => self.retry(lease, failure, delay, true).await,
            Verdict::Bury => {
                let status = match failure.class {
                    FailureClass::MailRejected => "rejected",
                    FailureClass::MailSuppressed => "suppressed",
                    _ => "dead",
                };
                self.bury(lease, failure, status).await
            }
            Verdict::Postpone => self.release(lease, delay, Some(failure)).await,
            Verdict::Hold => {
                let released = self.release(lease, Duration::from_millis(1), Some(failure)).await?;
                step!("worker.released");
                if released != Settled::LeaseLost {
                    let kind = lease.kind().as_str();
                    self.pool.query(sql::HOLD, &[&kind, &failure.class.as_str(), &failure.sentence]).await?;
                }
                Ok(released)
            }
        }
    }

    async fn settle_cancelled(&self, lease: &Lease, maybe_sent: bool, why: &str) -> Result<Settled, DatabaseError> {
        self.fenced(lease, sql::SETTLE_CANCELLED, &[&maybe_sent, &why], State::Cancelled).await
    }

    async fn retry(&self, lease: &Lease, failure: &Failure, delay: Duration, maybe_sent: bool) -> Result<Settled, DatabaseError> {
        let params: [&(dyn ToSql + Sync); 6] =
            [&ms(delay), &lease.max_attempts(), &failure.class.as_str(), &failure.sentence, &failure.detail, &maybe_sent];
        self.fenced(lease, sql::RETRY, &params, State::Pending).await
    }

    async fn bury(&self, lease: &Lease, failure: &Failure, message_status: &str) -> Result<Settled, DatabaseError> {
        let params: [&(dyn ToSql + Sync); 4] = [&failure.class.as_str(), &failure.sentence, &failure.detail, &message_status];
        self.fenced(lease, sql::BURY, &params, State::Dead).await
    }

    async fn release(&self, lease: &Lease, delay: Duration, failure: Option<&Failure>) -> Result<Settled, DatabaseError> {
        let class = failure.map(|failure| failure.class.as_str());
        let sentence = failure.map(|failure| failure.sentence.as_str());
        let detail = failure.and_then(|failure| failure.detail.as_deref());
        self.fenced(lease, sql::RELEASE, &[&ms(delay), &class, &sentence, &detail], State::Pending).await
    }

    /// Run a statement that names the job and its lease token first. No row means that the lease is gone (I2).
    async fn fenced(
        &self,
        lease: &Lease,
        statement: &'static str,
        params: &[&(dyn ToSql + Sync)],
        usual: State,
    ) -> Result<Settled, DatabaseError> {
        let (job_id, token): (Uuid, Uuid) = (lease.job_id(), lease.token().0);
        let mut all: Vec<&(dyn ToSql + Sync)> = vec![&job_id, &token];
        all.extend_from_slice(params);
        let row = self.pool.query_opt(statement, &all).await?;
        Ok(row.map_or(Settled::LeaseLost, |row| Settled::Done(state_of(&row).unwrap_or(usual))))
    }

    /// A job of this kind has succeeded: the reason of the hold is over.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn lift_hold(&self, kind: Kind) -> Result<(), DatabaseError> {
        self.pool.query(sql::LIFT_HOLD, &[&kind.as_str()]).await.map(drop)
    }
}

fn state_of(row: &Row) -> Option<State> {
    row.try_get::<_, &str>("state").ok().and_then(State::parse)
}

fn maybe_sent_failure() -> Failure {
    Failure::new(FailureClass::MailUnknown, Verdict::Unknown, "The provider did not answer in time; the mail may have been sent.")
}
