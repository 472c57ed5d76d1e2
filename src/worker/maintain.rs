//! Cleaning up after attempts that lost: their queries on the source, their uploads and objects in the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::queue::{Queue, QueueError, Reaped};
use crate::source::Sources;
use crate::store::Store;

/// One attempt's leftovers; a store that hangs must not keep the others waiting.
const EACH: Duration = Duration::from_secs(60);
/// What could not be swept is tried again after this long.
const RETRY: Duration = Duration::from_secs(60);
/// The longest time between two looks: another process may have died before it swept.
const LOOK: Duration = Duration::from_secs(600);

/// Cleans up beside the work: claiming, beating and stopping never wait for a store. One turn at a time; what comes while one runs is done by
/// the next. Clones share the turns.
#[derive(Clone)]
pub(super) struct Cleaner {
    queue: Queue,
    sources: Sources,
    store: Store,
    turn: Arc<Mutex<()>>,
    turns: TaskTracker,
    /// When to look next.
    next: Arc<watch::Sender<Instant>>,
}

impl Cleaner {
    pub(super) fn new(queue: Queue, sources: Sources, store: Store) -> Cleaner {
        let next = Arc::new(watch::Sender::new(Instant::now() + LOOK));
        Cleaner { queue, sources, store, turn: Arc::default(), turns: TaskTracker::new(), next }
    }

    /// End the queries of these lost attempts, then remove what losing attempts stored.
    pub(super) fn clean_up(&self, lost: &[Reaped]) {
        let backends: Vec<Reaped> = lost.iter().filter(|reaped| reaped.backend.is_some()).cloned().collect();
        let cleaner = self.clone();
        self.turns.spawn(async move {
            let _one_at_a_time = cleaner.turn.lock().await;
            for reaped in &backends {
                cleaner.end_query_of(reaped).await;
            }
            cleaner.sweep().await;
        });
    }

    /// Look again whenever something is to be swept (again), until the handle is dropped.
    pub(super) fn keep(&self) -> AbortOnDropHandle<()> {
        let (cleaner, mut next) = (self.clone(), self.next.subscribe());
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let at = *next.borrow_and_update();
                tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => cleaner.clean_up(&[]),
                    _ = next.changed() => continue,
                }
                // Planned anew at the end of that turn.
                let _ = next.changed().await;
            }
        }))
    }

    /// Wait for the turns that were begun, but not longer than this.
    pub(super) async fn done(&self, at_most: Duration) {
        self.turns.close();
        if tokio::time::timeout(at_most, self.turns.wait()).await.is_err() {
            tracing::warn!("what losing attempts stored could not be swept in time; the next process goes on");
        }
    }

    /// Remove what losing attempts stored, and plan the next look.
    async fn sweep(&self) {
        let next = match self.sweep_once().await {
            Ok(next) => next.map_or(LOOK, |next| next.min(LOOK)),
            Err(error) => {
                tracing::debug!(%error, "could not look for leftovers");
                RETRY
            }
        };
        self.next.send_replace(Instant::now() + next);
    }

    async fn sweep_once(&self) -> Result<Option<Duration>, QueueError> {
        for attempt in self.queue.unswept().await? {
            let sweeping = self.store.sweep(&attempt.bucket, &attempt.key, attempt.upload_id.as_deref());
            let error = match tokio::time::timeout(EACH, sweeping).await {
                Ok(Ok(())) => {
                    tracing::debug!(lease.token = %attempt.token, "swept");
                    self.queue.record_sweep(attempt.token).await?;
                    continue;
                }
                Ok(Err(failure)) => failure.class.as_str(),
                Err(_) => "the store did not answer in time",
            };
            // The others have their turn all the same: one bucket that is gone or closed must not keep what lies in another.
            tracing::warn!(lease.token = %attempt.token, error, retry_s = RETRY.as_secs(), "could not sweep, trying again later");
            self.queue.postpone_sweep(attempt.token, RETRY).await?;
        }
        self.queue.next_sweep().await
    }

    /// End the query that a lost worker left running.
    async fn end_query_of(&self, reaped: &Reaped) {
        let Some((pid, started_at)) = reaped.backend else { return };
        match self.sources.end_backend(pid, started_at).await {
            Ok(true) => tracing::info!(job.id = reaped.job_id, backend.pid = pid, "ended the query of a lost attempt"),
            Ok(false) => {}
            Err(failure) => {
                tracing::warn!(job.id = reaped.job_id, backend.pid = pid, error.class = %failure.class, "could not end the query of a lost attempt");
            }
        }
    }
}
