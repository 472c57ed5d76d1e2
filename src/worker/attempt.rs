//! One attempt: handle, settle.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use tracing::Instrument;

use super::Worker;
use super::handler::Handler;
use super::heartbeat::RunningAttempt;
use crate::database::DatabaseError;
use crate::job::{
    Attempt, Failure, FailureClass, Kind, LeaseClock, LeaseToken, Note, NoteTaker, Notes, Outcome, Progress, State, Stop, StopReason,
    Verdict,
};
use crate::metrics;
use crate::queue::{Lease, Noted, Queue, Settled};

/// How an attempt ended.
pub(super) struct EndedAttempt {
    pub kind: Kind,
    pub settled: Result<Settled, DatabaseError>,
}

impl Worker {
    /// The whole of one attempt as a task of its own. `asked` is from before its claim was sent.
    pub(super) fn attempt(&self, lease: Lease, asked: Instant) -> impl Future<Output = EndedAttempt> + Send + 'static {
        let (queue, handler, leases) = (self.queue.clone(), self.handler.clone(), self.leases.clone());
        let stop = Stop::new();
        let attempt = Attempt {
            job_id: lease.job_id(),
            token: lease.token(),
            deadline: lease.deadline(),
            stop: stop.clone(),
            progress: Arc::new(Progress::default()),
            clock: Arc::new(LeaseClock::new(asked, queue.policy().lease)),
            notes: Notes::new(AttemptRow { queue: queue.clone(), token: lease.token(), stop: stop.clone() }),
        };
        // It is in the list from the claim on, so that the first heartbeat extends its lease.
        let running = RunningAttempt { job_id: lease.job_id(), stop, clock: attempt.clock.clone(), progress: attempt.progress.clone() };
        leases.insert(lease.token(), running);
        let span = tracing::info_span!("attempt", export.id = lease.export_id().map(tracing::field::display), job.id = %lease.job_id(), job.kind = lease.kind().shown(),
            attempt = lease.attempt(), lease.token = %lease.token());
        async move {
            let (kind, token) = (lease.kind(), lease.token());
            let began = Instant::now();
            let outcome = handle(&queue, &*handler, &lease, &attempt).await;
            leases.remove(token);
            let (said, counted) = (summary(&outcome), Counted::of(kind, &outcome));
            let lost = matches!(outcome, Outcome::Stopped { reason: StopReason::LeaseLost, .. });
            match kind {
                Kind::Export => step!("export.settling"),
                Kind::Message => step!("message.settling"),
            }
            let settled = queue.settle(lease, outcome).await;
            match kind {
                Kind::Export => step!("export.settled"),
                Kind::Message => step!("message.settled"),
            }
            if (lost || settled == Ok(Settled::LeaseLost)) && kind == Kind::Export {
                // This attempt may have stored something after it was reaped and swept.
                let _ = queue.reopen_sweep(token).await;
            }
            report(&said, &settled, began);
            count(kind, said.1, counted, &settled, began);
            EndedAttempt { kind, settled }
        }
        .instrument(span)
    }
}

async fn handle(queue: &Queue, handler: &dyn Handler, lease: &Lease, attempt: &Attempt) -> Outcome {
    // The deadline is one more reason to stop.
    let (stop, deadline) = (attempt.stop.clone(), attempt.deadline);
    let timer = tokio::spawn(async move {
        tokio::time::sleep_until(deadline.into()).await;
        // guard: deadline
        stop.ask(StopReason::Deadline);
    });
    let _timer = tokio_util::task::AbortOnDropHandle::new(timer);

    let outcome = handler.handle(lease, attempt).await;
    if lease.is_probe() && matches!(outcome, Outcome::Exported(_) | Outcome::Sent(_)) {
        // It succeeded, so the reason of the hold is over.
        if let Err(error) = queue.lift_hold(lease.kind()).await {
            tracing::warn!(%error, "could not lift a hold, the next probe will");
        }
    }
    // A failure while the attempt was being stopped comes from the stop.
    match (outcome, attempt.stop.reason()) {
        (Outcome::Failed(failure), Some(reason)) if failure.verdict != Verdict::Unknown => reason.into(),
        (outcome, _) => outcome,
    }
}

/// Writes notes into the attempt's row. Without that row the lease is gone, and what must not go on is stopped.
struct AttemptRow {
    queue: Queue,
    token: LeaseToken,
    stop: Stop,
}

#[async_trait]
impl NoteTaker for AttemptRow {
    async fn take(&self, note: Note) -> Result<(), Failure> {
        match self.queue.note(self.token, &note).await {
            Ok(Noted::Recorded) => Ok(()),
            Ok(Noted::Cancelled) => {
                self.stop.ask(StopReason::Cancelled);
                Err(Failure::new(FailureClass::Internal, Verdict::Retry, "The export was cancelled."))
            }
            Ok(Noted::LeaseLost) => {
                self.stop.ask(StopReason::LeaseLost);
                Err(Failure::new(FailureClass::Internal, Verdict::Retry, "The lease is gone."))
            }
            Err(error) => {
                let sentence = "The attempt could not be noted in the job tables.";
                Err(Failure::new(FailureClass::SourceUnavailable, Verdict::Postpone, sentence).with_detail(error))
            }
        }
    }
}

/// What the log says of an outcome: no path, no address, no text of others.
fn summary(outcome: &Outcome) -> (&'static str, Option<FailureClass>, Option<i64>) {
    match outcome {
        Outcome::Exported(manifest) => ("exported", None, Some(manifest.bytes())),
        Outcome::Sent(_) => ("mailed", None, None),
        Outcome::Moot => ("had nothing to tell", None, None),
        Outcome::Failed(failure) => ("failed", Some(failure.class), None),
        Outcome::Stopped { reason: StopReason::Cancelled, .. } => ("cancelled", None, None),
        Outcome::Stopped { reason: StopReason::LeaseLost, .. } => ("lease lost", None, None),
        Outcome::Stopped { reason: StopReason::Shutdown, .. } => ("given back", None, None),
        Outcome::Stopped { reason: StopReason::Deadline, .. } => ("ran past its time limit", Some(FailureClass::Timeout), None),
    }
}

/// What of an outcome is counted once it is settled.
enum Counted {
    Exported {
        rows: i64,
        bytes: i64,
    },
    /// What the provider said, where it said something.
    Mail(Option<&'static str>),
}

impl Counted {
    fn of(kind: Kind, outcome: &Outcome) -> Option<Counted> {
        match (kind, outcome) {
            (_, Outcome::Exported(manifest)) => Some(Counted::Exported { rows: manifest.rows, bytes: manifest.bytes() }),
            (_, Outcome::Sent(_)) => Some(Counted::Mail(Some("accepted"))),
            (Kind::Message, Outcome::Failed(failure)) => Some(Counted::Mail(match (failure.verdict, failure.class) {
                (Verdict::Unknown, _) => Some("unknown"),
                (_, FailureClass::MailRejected) => Some("rejected"),
                (_, FailureClass::MailSuppressed) => Some("suppressed"),
                _ => None,
            })),
            _ => None,
        }
    }
}

fn count(kind: Kind, class: Option<FailureClass>, counted: Option<Counted>, settled: &Result<Settled, DatabaseError>, began: Instant) {
    let became = match settled {
        Ok(Settled::Done(State::Completed)) => "completed",
        Ok(Settled::Done(State::Dead)) => "dead",
        Ok(Settled::Done(State::Cancelled)) => "cancelled",
        Ok(Settled::Done(State::Pending | State::Running)) => "retried",
        Ok(Settled::LeaseLost) | Err(_) => "lease_lost",
    };
    metrics::attempted(kind.shown(), became, began.elapsed());
    if let Some(class) = class {
        metrics::failed(kind.shown(), class.as_str());
    }
    match counted {
        Some(Counted::Exported { rows, bytes }) if became == "completed" => metrics::exported(rows, bytes),
        Some(Counted::Mail(Some(said))) => metrics::mailed(said),
        Some(Counted::Mail(None)) if matches!(became, "dead" | "retried") => metrics::mailed(became),
        _ => {}
    }
}

fn report(said: &(&'static str, Option<FailureClass>, Option<i64>), settled: &Result<Settled, DatabaseError>, began: Instant) {
    let (what, class, size) = said;
    let class = class.map(FailureClass::as_str);
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match settled {
        Ok(Settled::Done(state)) => {
            tracing::info!(state = state.as_str(), error.class = class, size_bytes = *size, duration_ms, "{what}");
        }
        Ok(Settled::LeaseLost) => tracing::info!(error.class = class, duration_ms, "{what}; its lease was gone, so nothing was written"),
        Err(error) => tracing::error!(%error, duration_ms, "{what}, but that could not be written; the job comes back by itself"),
    }
}
