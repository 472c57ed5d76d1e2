//! Cleaning up after attempts that lost: their queries on the source, their uploads and objects in the store.

use super::Worker;
use crate::queue::Reaped;

impl Worker {
    /// Remove what losing attempts stored. What cannot be removed now is tried again later.
    pub(super) async fn sweep(&self) {
        let unswept = match self.queue.unswept().await {
            Ok(unswept) => unswept,
            Err(error) => {
                tracing::debug!(%error, "could not look for leftovers");
                return;
            }
        };
        for attempt in unswept {
            let swept = self.store.sweep(&attempt.bucket, &attempt.key, attempt.upload_id.as_deref()).await;
            let recorded = match swept {
                Ok(()) => {
                    tracing::debug!(lease.token = %attempt.token, "swept");
                    self.queue.record_sweep(attempt.token).await.map_err(|error| error.to_string())
                }
                Err(failure) => Err(failure.class.to_string()),
            };
            if let Err(error) = recorded {
                // The others have their turn all the same: one bucket that is gone or closed must not keep what lies in another.
                tracing::warn!(lease.token = %attempt.token, error, "could not sweep, trying again later");
            }
        }
    }

    /// End the query that a lost worker left running.
    pub(super) fn end_query_of(&self, reaped: &Reaped) {
        let Some((pid, started_at)) = reaped.backend else { return };
        let (source, job_id) = (self.source.clone(), reaped.job_id);
        tokio::spawn(async move {
            match source.end_backend(pid, started_at).await {
                Ok(true) => tracing::info!(job.id = job_id, backend.pid = pid, "ended the query of a lost attempt"),
                Ok(false) => {}
                Err(failure) => {
                    tracing::warn!(job.id = job_id, backend.pid = pid, error.class = %failure.class, "could not end the query of a lost attempt")
                }
            }
        });
    }
}
