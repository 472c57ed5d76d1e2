//! The engine on the job tables: claim, heartbeat, reap, settle, wake. What people ask and order is `admin`'s, over the same pool.
//!
//! Must not know: sources, stores, providers, people. Keeps I2 (every way out of `running` names the lease token, or is reap), I3 (each call takes
//! a connection for one short statement and gives it back), I6 and I7 (all times are the database's; deadlines are measured from before the
//! claim was asked for).

mod batcher;
mod chores;
mod claim;
mod complete;
mod cursor;
mod heartbeat;
mod lease;
mod listen;
mod load;
mod next_due;
mod notices;
mod schedule;
mod settle;
mod sweep;

pub use chores::{Chore, LeftoverFile};
pub use claim::{Cycle, FreeSlots, Reaped, Scan};
pub use heartbeat::{Beat, LeaseStatus};
pub use lease::Lease;
pub use listen::{Listener, WaitState};
pub use load::Noted;
pub use next_due::NextDue;
pub use schedule::DueSchedule;
pub use settle::Settled;
pub use sweep::{LostQuery, StoredAt, Unswept};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::complete::Completions;
use self::cursor::Cursors;
use crate::database::Pool;

/// The rules of claiming and giving up, from the settings.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How long a lease lives without a heartbeat.
    pub lease: Duration,
    /// The longest an export attempt may take unless its request says otherwise.
    pub export_timeout: Duration,
    /// The longest a delivery attempt may take.
    pub message_timeout: Duration,
    /// Attempts of an export before it is dead, unless its request says otherwise.
    pub export_attempts: i16,
    /// Attempts of a delivery before it is dead.
    pub message_attempts: i16,
    /// Hold a mail that may have been sent instead of sending it again.
    pub hold_unknown: bool,
    /// Most exports at once over all processes; none: no limit.
    pub source_slots: Option<i32>,
    /// Connections to the job tables. With one, claims wait while a lease is being settled.
    pub connections: usize,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            lease: Duration::from_secs(90),
            export_timeout: Duration::from_secs(3600),
            message_timeout: Duration::from_secs(300),
            export_attempts: 5,
            message_attempts: 8,
            hold_unknown: false,
            source_slots: None,
            connections: 1,
        }
    }
}

/// The job tables as one process works on them.
#[derive(Clone)]
pub struct Queue {
    pool: Pool,
    policy: Policy,
    cursors: Arc<Mutex<Cursors>>,
    completions: Arc<Completions>,
}

impl Queue {
    /// Over the connections of this process.
    pub fn new(pool: Pool, policy: Policy) -> Queue {
        Queue { pool, policy, cursors: Arc::default(), completions: Arc::default() }
    }

    /// This process' name in the tables.
    pub fn worker(&self) -> &str {
        self.pool.name()
    }

    /// The rules this process claims by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Where the claims of this process begin. No code panics while it holds the lock; and a wrong cursor would only cost time.
    fn cursors(&self) -> MutexGuard<'_, Cursors> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
