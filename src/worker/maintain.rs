//! Cleaning up after attempts that lost: their queries on the source, their uploads and objects in the store.

use std::time::Duration;

use super::Worker;
use crate::queue::{Queue, Reaped};
use crate::source::Source;
use crate::store::Store;

/// One attempt's leftovers; a store that hangs must not keep the others waiting.
const EACH: Duration = Duration::from_secs(60);

impl Worker {
    /// End the queries of these lost attempts, then remove what losing attempts stored, beside the work: claiming, beating and stopping never
    /// wait for a store. One at a time; what comes while one runs is done by the next.
    pub(super) fn clean_up(&self, lost: &[Reaped]) {
        let backends: Vec<Reaped> = lost.iter().filter(|reaped| reaped.backend.is_some()).cloned().collect();
        let (queue, source, store, turn) = (self.queue.clone(), self.source.clone(), self.store.clone(), self.sweeping.clone());
        let task = async move {
            let _one_at_a_time = turn.lock().await;
            for reaped in &backends {
                end_query_of(&source, reaped).await;
            }
            sweep(&queue, &store).await;
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

/// Remove what losing attempts stored. What cannot be removed now is tried again later.
async fn sweep(queue: &Queue, store: &Store) {
    let unswept = match queue.unswept().await {
        Ok(unswept) => unswept,
        Err(error) => {
            tracing::debug!(%error, "could not look for leftovers");
            return;
        }
    };
    for attempt in unswept {
        let sweeping = store.sweep(&attempt.bucket, &attempt.key, attempt.upload_id.as_deref());
        let recorded = match tokio::time::timeout(EACH, sweeping).await {
            Ok(Ok(())) => {
                tracing::debug!(lease.token = %attempt.token, "swept");
                queue.record_sweep(attempt.token).await.map_err(|error| error.to_string())
            }
            Ok(Err(failure)) => Err(failure.class.to_string()),
            Err(_) => Err("the store did not answer in time".into()),
        };
        if let Err(error) = recorded {
            // The others have their turn all the same: one bucket that is gone or closed must not keep what lies in another.
            tracing::warn!(lease.token = %attempt.token, error, "could not sweep, trying again later");
        }
    }
}

/// End the query that a lost worker left running.
async fn end_query_of(source: &Source, reaped: &Reaped) {
    let Some((pid, started_at)) = reaped.backend else { return };
    match source.end_backend(pid, started_at).await {
        Ok(true) => tracing::info!(job.id = reaped.job_id, backend.pid = pid, "ended the query of a lost attempt"),
        Ok(false) => {}
        Err(failure) => {
            tracing::warn!(job.id = reaped.job_id, backend.pid = pid, error.class = %failure.class, "could not end the query of a lost attempt");
        }
    }
}
