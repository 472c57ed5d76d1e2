//! How long until there is something to do. It is all that an idle process asks, and the first thing that a drain asks.

use std::time::{Duration, Instant};

use tokio_postgres::Row;

use super::{FreeSlots, Queue};
use crate::database::{DatabaseError, ms};
use crate::sql;

/// What is due next, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextDue {
    /// How long until something is due that the free slots could take, or that has to be ended. Zero: now. `None`: nothing will be due.
    pub due_in: Option<Duration>,
    /// How long until there is something to maintain: a lost attempt to sweep, or a chore.
    pub maintain_in: Option<Duration>,
    /// The tables know that this process waits, and have known it all the time: every request since then wakes it.
    pub is_waiting: bool,
}

impl NextDue {
    /// Whether a full scan would find nothing, and there is nothing to maintain.
    pub fn is_quiet(&self) -> bool {
        self.due_in != Some(Duration::ZERO) && self.maintain_in != Some(Duration::ZERO)
    }
}

impl Queue {
    /// What is due next for a process with these free slots. With its longest nap, the record that it waits is extended for it; without, it is not
    /// touched.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn next_due(&self, free: FreeSlots, longest_nap: Option<Duration>) -> Result<NextDue, DatabaseError> {
        let asked = Instant::now();
        let (exports, deliveries, grace_ms) = (free.exports > 0, free.messages > 0, ms(self.policy.lease));
        let row = self
            .pool
            .query_opt(
                sql::NEXT_DUE,
                &[&exports, &deliveries, &grace_ms, &self.policy.source_slots, &self.pool.name(), &longest_nap.map(ms)],
            )
            .await?
            .ok_or_else(|| DatabaseError::Statement("no row of what lies ahead".into()))?;
        // This statement begins at the start of the index, too, so it counts against the next full scan.
        self.cursors().set_scan_time(asked.elapsed(), Instant::now());
        Ok(NextDue { due_in: duration(&row, "sleep_ms"), maintain_in: duration(&row, "clean_ms"), is_waiting: row.get("is_marked") })
    }
}

/// Zero for an instant that has passed.
pub(super) fn duration(row: &Row, milliseconds: &str) -> Option<Duration> {
    row.get::<_, Option<i64>>(milliseconds).map(|ms| Duration::from_millis(ms.max(0).unsigned_abs()))
}
