//! The pool of idle connections: small exports would spend most of their time on logging in, so a connection is used again.
//!
//! Only what a report's author wrote has run over it, only for one role, and nothing of that is left: its transaction was rolled back, and what
//! outlives a transaction was discarded. A query that somebody sent ad hoc gets a connection of its own, which is closed after it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::Client;

/// A connection that nobody has used for this long is closed: the source has other users.
const IDLE: Duration = Duration::from_secs(30);
/// An older connection is not used again: the rights of its login may have changed.
const OLDEST: Duration = Duration::from_secs(300);

/// A connection and the task that serves it. Dropping it closes it.
pub(super) struct Connection {
    pub client: Client,
    pub serving: JoinHandle<()>,
    pub opened: Instant,
}

/// The connections of one source that nobody uses at the moment.
#[derive(Clone, Default)]
pub(super) struct IdlePool(Arc<Mutex<VecDeque<Idle>>>);

struct Idle {
    role: String,
    connection: Connection,
    since: Instant,
}

impl std::fmt::Debug for IdlePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdlePool({})", self.idle().len())
    }
}

impl IdlePool {
    /// A connection that has served this role. The one that was used last is taken, so that the others grow old and are closed.
    pub(super) fn take(&self, role: &str) -> Option<Connection> {
        let mut idle = self.idle();
        while let Some(place) = idle.iter().position(|idle| idle.role == role) {
            let is_usable = |connection: &Connection| !connection.client.is_closed() && connection.opened.elapsed() < OLDEST;
            let found = idle.remove(place).map(|idle| idle.connection).filter(is_usable);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Close the oldest, before a new connection is opened: so a process never has more than it needs at once.
    pub(super) async fn close_one(&self) {
        let oldest = self.idle().pop_back();
        if let Some(Idle { connection: Connection { client, serving, .. }, .. }) = oldest {
            drop(client);
            // Gone from the server, too, as far as one can wait for that.
            let _ = tokio::time::timeout(Duration::from_secs(1), serving).await;
        }
    }

    /// Put a connection back that was left clean. It is closed when nobody takes it in time.
    pub(super) fn put(&self, role: String, connection: Connection) {
        self.idle().push_front(Idle { role, connection, since: Instant::now() });
        let pool = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(IDLE).await;
            if let Some(pool) = pool.upgrade() {
                IdlePool(pool).idle().retain(|idle| idle.since.elapsed() < IDLE);
            }
        });
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
