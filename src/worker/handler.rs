//! What is done with a claimed job: its request is loaded, and then exported or mailed.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::Instrument;

use crate::database::DatabaseError;
use crate::export::Exporter;
use crate::job::{Attempt, Failure, FailureClass, Kind, Outcome, StopReason, Verdict};
use crate::message::Messenger;
use crate::queue::{Lease, Queue};

/// Does the work of one attempt. Leases, stopping and settling are the worker's.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Work until the job is done, has failed, or is asked to stop.
    async fn handle(&self, lease: &Lease, attempt: &Attempt) -> Outcome;
}

/// Runs export jobs and message jobs.
pub struct ExportAndMail {
    /// Where requests are read.
    pub queue: Queue,
    /// Makes files.
    pub exporter: Arc<Exporter>,
    /// Sends mails.
    pub messenger: Arc<Messenger>,
}

#[async_trait]
impl Handler for ExportAndMail {
    async fn handle(&self, lease: &Lease, attempt: &Attempt) -> Outcome {
        match lease.kind() {
            Kind::Export => match self.queue.load_export(lease).await {
                Ok(Some(job)) => {
                    step!("export.loaded");
                    let (exporter, attempt) = (self.exporter.clone(), attempt.clone());
                    guarded(tokio::spawn(async move { exporter.export(&attempt, &job).await }.in_current_span())).await
                }
                Ok(None) => StopReason::LeaseLost.into(),
                Err(error) => not_loaded(error),
            },
            Kind::Message => match self.queue.load_message(lease).await {
                Ok(Some(envelope)) => {
                    step!("message.loaded");
                    let (messenger, attempt) = (self.messenger.clone(), attempt.clone());
                    guarded(tokio::spawn(async move { messenger.deliver(&attempt, &envelope).await }.in_current_span())).await
                }
                Ok(None) => StopReason::LeaseLost.into(),
                Err(error) => not_loaded(error),
            },
        }
    }
}

/// A handler that panics ends its attempt, not the process.
async fn guarded(task: tokio::task::JoinHandle<Outcome>) -> Outcome {
    match task.await {
        Ok(outcome) => outcome,
        Err(_) => Failure::new(FailureClass::Internal, Verdict::Retry, "exportbox itself failed; see its log, and report it.").into(),
    }
}

fn not_loaded(error: DatabaseError) -> Outcome {
    let sentence = "The request could not be read from the job tables.";
    let verdict = if error.is_transient() { Verdict::Postpone } else { Verdict::Retry };
    Failure::new(FailureClass::Internal, verdict, sentence).with_detail(error).into()
}
