//! Cleaning up after attempts that lost: their queries on the source, their uploads and objects in the store.

use std::time::Duration;

use super::Worker;
use crate::queue::{Queue, Unswept};
use crate::source::Source;
use crate::store::Store;

/// One attempt's leftovers; a store that hangs must not keep the others waiting.
const EACH: Duration = Duration::from_secs(60);

impl Worker {
    /// End the queries of lost attempts and remove what losing attempts stored, beside the work: claiming, beating and stopping never wait for
    /// a store. One at a time; what comes while one runs is done by the next.
    pub(super) fn clean_up(&self) {
        let (queue, source, store, turn) = (self.queue.clone(), self.source.clone(), self.store.clone(), self.sweeping.clone());
        let task = async move {
            let _one_at_a_time = turn.lock().await;
            sweep_all(&queue, &source, &store).await;
        };
        self.tracker.spawn(task);
    }

    /// Wait for the clean-up, but not longer than this.
    pub(super) async fn cleaned_up(&self, at_most: Duration) {
        self.tracker.close();
        if tokio::time::timeout(at_most, self.tracker.wait()).await.is_err() {
            tracing::warn!("what losing attempts stored could not be swept in time; the next process goes on");
        }
    }
}

/// What cannot be removed now is tried again later, by whoever cleans up next.
async fn sweep_all(queue: &Queue, source: &Source, store: &Store) {
    let unswept = match queue.unswept().await {
        Ok(unswept) => unswept,
        Err(error) => {
            tracing::debug!(%error, "could not look for leftovers");
            return;
        }
    };
    for attempt in unswept {
        let swept = tokio::time::timeout(EACH, sweep(source, store, &attempt)).await;
        let recorded = match swept.unwrap_or_else(|_| Err("the store did not answer in time".into())) {
            Ok(()) => {
                step!("worker.swept");
                tracing::debug!(lease.token = %attempt.token, "swept");
                queue.record_sweep(attempt.token).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error),
        };
        step!("worker.recorded_sweep");
        if let Err(error) = recorded {
            // The others have their turn all the same: one bucket that is gone or closed must not keep what lies in another.
            tracing::warn!(lease.token = %attempt.token, error, "could not sweep, trying again later");
        }
    }
}

async fn sweep(source: &Source, store: &Store, attempt: &Unswept) -> Result<(), String> {
    if let Some((pid, started_at)) = attempt.backend {
        // First: a query that still runs may be what stores (aws_s3), and what it stores after the sweep nobody would ever look for.
        match source.end_backend(pid, started_at).await {
            Ok(true) => tracing::info!(lease.token = %attempt.token, backend.pid = pid, "ended the query of a lost attempt"),
            Ok(false) => {}
            Err(failure) => return Err(format!("its query could not be ended: {}", failure.class)),
        }
        step!("worker.ended_query");
    }
    match &attempt.stored {
        Some(at) => store.sweep(&at.bucket, &at.key, at.upload_id.as_deref()).await.map_err(|failure| failure.class.to_string()),
        None => Ok(()),
    }
}
