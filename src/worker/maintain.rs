//! Maintenance beside the work: sweeping lost attempts (their queries on the source, their uploads and objects in the store), and the chores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::WorkOptions;
use super::chores::AbandonedUploads;
use crate::admin::{Admin, Retention};
use crate::database::DatabaseError;
use crate::job::{FailureClass, LeaseToken};
use crate::queue::{LostQuery, Queue, Unswept};
use crate::source::Sources;
use crate::store::Store;

/// The longest that sweeping one attempt may take: a store that hangs must not delay the others.
const EACH: Duration = Duration::from_secs(60);
/// Time until an attempt that could not be swept is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// The longest time between two turns: another process may have died before it swept.
const LONGEST: Duration = Duration::from_secs(600);

/// Sweeps and does the chores, in tasks of their own: claiming, heartbeats and stopping never wait for a store. One turn runs at a time, and what is
/// requested while it runs is done by the next. Clones share the turns.
#[derive(Clone)]
pub(super) struct Maintainer {
    pub(super) queue: Queue,
    pub(super) admin: Admin,
    sources: Sources,
    pub(super) store: Store,
    pub(super) retention: Arc<Retention>,
    pub(super) abandoned_uploads: Option<Arc<AbandonedUploads>>,
    turn: Arc<Mutex<()>>,
    turns: TaskTracker,
    /// When the next turn begins.
    next: Arc<watch::Sender<Instant>>,
}

impl Maintainer {
    pub(super) fn new(queue: Queue, admin: Admin, sources: Sources, store: Store, options: &WorkOptions) -> Maintainer {
        let (retention, abandoned_uploads) = (Arc::new(options.retention.clone()), options.abandoned_uploads.clone().map(Arc::new));
        let next = Arc::new(watch::Sender::new(Instant::now() + LONGEST));
        Maintainer { queue, admin, sources, store, retention, abandoned_uploads, turn: Arc::default(), turns: TaskTracker::new(), next }
    }

    /// Begin a turn now, or after the one that runs: end the queries of lost attempts, remove what they have stored, and do the chores.
    pub(super) fn request(&self) {
        let maintainer = self.clone();
        self.turns.spawn(async move {
            let _one_at_a_time = maintainer.turn.lock().await;
            let next = match maintainer.sweep_all().await {
                Ok(next) => next.map_or(LONGEST, |next| next.min(LONGEST)),
                Err(error) => {
                    tracing::debug!(%error, "could not look for leftovers");
                    RETRY
                }
            };
            let again = maintainer.do_chores().await.unwrap_or_else(|error| {
                tracing::debug!(%error, "could not do the chores");
                Some(super::chores::RETRY)
            });
            maintainer.next.send_replace(Instant::now() + again.map_or(next, |again| again.min(next)));
        });
    }

    /// Set when the next turn begins, as `next_due` says. A turn that runs sets it at its end.
    pub(super) fn plan(&self, maintain_in: Option<Duration>) {
        if self.turn.try_lock().is_ok() {
            self.next.send_replace(Instant::now() + maintain_in.map_or(LONGEST, |soon| soon.min(LONGEST)));
        }
    }

    /// Begin each turn when it is due, until the handle is dropped.
    pub(super) fn spawn(&self) -> AbortOnDropHandle<()> {
        let (maintainer, mut next) = (self.clone(), self.next.subscribe());
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let at = *next.borrow_and_update();
                tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => maintainer.request(),
                    _ = next.changed() => continue,
                }
                // The end of that turn sets the next instant.
                let _ = next.changed().await;
            }
        }))
    }

    /// Wait for the turns that have begun, but no longer than this.
    pub(super) async fn done(&self, at_most: Duration) {
        self.turns.close();
        if tokio::time::timeout(at_most, self.turns.wait()).await.is_err() {
            tracing::warn!("what losing attempts stored could not be swept in time; the next process goes on");
        }
    }

    /// Whether the process is about to end: what has not begun is left to another process.
    pub(super) fn is_closing(&self) -> bool {
        self.turns.is_closed()
    }

    /// Sweep the attempts that are due. Returns how long until the next one is.
    async fn sweep_all(&self) -> Result<Option<Duration>, DatabaseError> {
        let (found, next) = self.queue.unswept().await?;
        if found.is_empty() {
            return Ok(next);
        }
        for attempt in found {
            let swept = tokio::time::timeout(EACH, self.sweep(&attempt)).await;
            match swept.unwrap_or_else(|_| Err("the store did not answer in time".into())) {
                Ok(()) => {
                    step!("worker.swept");
                    tracing::debug!(lease.token = %attempt.token, "swept");
                    self.queue.record_sweep(attempt.token).await?;
                    step!("worker.recorded_sweep");
                }
                Err(error) => {
                    // Go on with the others: a bucket that is gone or closed must not delay what lies in another one.
                    tracing::warn!(lease.token = %attempt.token, error, retry_s = RETRY.as_secs(), "could not sweep, trying again later");
                    self.queue.postpone_sweep(attempt.token, RETRY).await?;
                }
            }
        }
        Ok(self.queue.unswept().await?.1)
    }

    async fn sweep(&self, attempt: &Unswept) -> Result<(), String> {
        if let Some(query) = &attempt.query {
            // The query comes first: with aws_s3 it is the query that stores, and it would go on.
            self.end_query(attempt.token, query).await?;
        }
        match &attempt.stored {
            Some(at) => self.store.sweep(&at.bucket, &at.key, at.upload_id.as_deref()).await.map_err(|failure| failure.class.to_string()),
            None => Ok(()),
        }
    }

    /// End a lost query on its source. No other source is asked, so that one that is away does not delay this attempt.
    async fn end_query(&self, token: LeaseToken, query: &LostQuery) -> Result<(), String> {
        // guard: its source
        let Ok(source) = self.sources.named(&query.source) else {
            // What the attempt has stored is removed all the same, and once more later.
            tracing::warn!(lease.token = %token, "a lost query may run on: this process does not have its source, see EXPORTBOX_SOURCES");
            return Ok(());
        };
        for backend in &query.backends {
            match source.end_backend(*backend).await {
                Ok(true) => tracing::info!(lease.token = %token, backend.pid = backend.pid, "ended the query of a lost attempt"),
                Ok(false) => {}
                // The source says so once. What the attempt has stored is removed all the same, here too.
                Err(failure) if failure.class == FailureClass::Permission => {}
                Err(failure) => return Err(format!("its query could not be ended: {}", failure.class)),
            }
            step!("worker.ended_query");
        }
        Ok(())
    }
}
