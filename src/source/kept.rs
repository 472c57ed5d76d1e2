//! Connections that are used again: small exports would spend most of their time on logging in.
//!
//! Only what a report's author wrote has run over them, only for one role, and nothing of it is left: its transaction was rolled back, and what
//! outlives a transaction was discarded. A query that somebody sent ad hoc gets a connection of its own, and takes it along.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::Client;

/// A connection that nobody has used for this long is closed: the source is not ours to occupy.
const IDLE: Duration = Duration::from_secs(30);
/// A login is asked for again after this long, should its rights have changed.
const OLDEST: Duration = Duration::from_secs(300);

/// A connection and the task that serves it. Dropping it closes it.
pub(super) struct Line {
    pub client: Client,
    pub serving: JoinHandle<()>,
    pub born: Instant,
}

/// The connections of one source that nobody uses at the moment.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<VecDeque<Idle>>>);

struct Idle {
    role: String,
    line: Line,
    since: Instant,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({})", self.idle().len())
    }
}

impl Kept {
    /// One that has served this role: the one that was used last, the others grow old and go.
    pub(super) fn take(&self, role: &str) -> Option<Line> {
        let mut idle = self.idle();
        while let Some(place) = idle.iter().position(|idle| idle.role == role) {
            let found = idle.remove(place).map(|idle| idle.line).filter(|line| !line.client.is_closed() && line.born.elapsed() < OLDEST);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Close one, so that a new one may take its place: a process never has more than it needs at once.
    pub(super) async fn make_room(&self) {
        let oldest = self.idle().pop_back();
        if let Some(Idle { line: Line { client, serving, .. }, .. }) = oldest {
            drop(client);
            // Gone from the server, too, as far as one can wait for that.
            let _ = tokio::time::timeout(Duration::from_secs(1), serving).await;
        }
    }

    /// Nobody needs it for now. It was left clean.
    pub(super) fn keep(&self, role: String, line: Line) {
        self.idle().push_front(Idle { role, line, since: Instant::now() });
        let kept = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(IDLE).await;
            if let Some(kept) = kept.upgrade() {
                Kept(kept).idle().retain(|idle| idle.since.elapsed() < IDLE);
            }
        });
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
