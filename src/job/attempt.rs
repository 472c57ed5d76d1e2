//! What a handler is given besides its job: who it is, when it must be done, how it is stopped, where it reports.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{LeaseToken, Notes, Stop};

/// How far an export is; read by the heartbeat.
#[derive(Debug, Default)]
pub struct Progress {
    rows: AtomicI64,
    bytes: AtomicI64,
}

impl Progress {
    /// Set the data rows so far.
    pub fn set_rows(&self, rows: i64) {
        self.rows.store(rows, Ordering::Relaxed);
    }

    /// Add to the data rows so far; returns them all.
    pub fn add_rows(&self, rows: i64) -> i64 {
        self.rows.fetch_add(rows, Ordering::Relaxed) + rows
    }

    /// Add to the bytes stored so far.
    pub fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Rows and bytes so far.
    pub fn read(&self) -> (i64, i64) {
        (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// The daemon's own view of its lease: it is held until some time after the last heartbeat that succeeded, measured from before that was sent (I7).
/// It always ends before the lease in the database, even when the process was suspended.
#[derive(Debug)]
pub struct LeaseClock {
    extended_at: Mutex<Instant>,
    holds_for: Duration,
}

impl LeaseClock {
    /// A lease that was asked for at `asked`. Without a heartbeat it is held for two thirds of its length.
    pub fn new(asked: Instant, lease: Duration) -> LeaseClock {
        // guard: earlier than the lease
        LeaseClock { extended_at: Mutex::new(asked), holds_for: lease * 2 / 3 }
    }

    /// A heartbeat that was sent at this instant has succeeded.
    pub fn extend(&self, sent: Instant) {
        *self.extended_at.lock().unwrap_or_else(PoisonError::into_inner) = sent;
    }

    /// Whether the lease may still be relied on.
    pub fn is_held(&self) -> bool {
        self.extended_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < self.holds_for
    }
}

/// One attempt as its handler sees it.
#[derive(Clone)]
pub struct Attempt {
    /// The job's id, which is its subject's: the export's or the message's.
    pub job_id: Uuid,
    /// The lease; part of every object key.
    pub token: LeaseToken,
    /// When the attempt must be done.
    pub deadline: Instant,
    /// Asked when it must end earlier.
    pub stop: Stop,
    /// Where it says how far it is.
    pub progress: Arc<Progress>,
    /// Whether its lease may be relied on.
    pub clock: Arc<LeaseClock>,
    /// Where it leaves notes for others.
    pub notes: Notes,
}

impl Attempt {
    /// How much time is left.
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether what it made may still be published.
    pub fn may_publish(&self) -> bool {
        // guard: own clock
        self.stop.reason().is_none() && self.clock.is_held()
    }
}
