//! How long until there is something to do: all that an idle process asks, and the first question of a drain.

use std::time::{Duration, Instant};

use tokio_postgres::Row;

use super::{FreeSlots, Queue};
use crate::database::{DatabaseError, ms};
use crate::sql;

/// What lies ahead, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextDue {
    /// Until something is due that the room could take, or that has to be ended. Zero: now. `None`: nothing is next_due.
    pub due_in: Option<Duration>,
    /// Until something is to be cleaned up: what a losing attempt left, or a chore.
    pub maintain_in: Option<Duration>,
    /// This process is marked as asleep for the coming nap, and has been all the time: whatever was requested since its mark was set wakes it.
    pub is_waiting: bool,
}

impl NextDue {
    /// Whether a look at everything would find nothing, and nothing is to be cleaned up.
    pub fn is_quiet(&self) -> bool {
        self.due_in != Some(Duration::ZERO) && self.maintain_in != Some(Duration::ZERO)
    }
}

impl Queue {
    /// What lies ahead for a process with this room. With its longest nap, a mark as asleep is kept up for it; without, it is left alone.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn next_due(&self, room: FreeSlots, longest_nap: Option<Duration>) -> Result<NextDue, DatabaseError> {
        let asked = Instant::now();
        let (exports, deliveries, grace_ms) = (room.exports > 0, room.messages > 0, ms(self.policy.lease));
        let row = self
            .pool
            .query_opt(
                sql::NEXT_DUE,
                &[&exports, &deliveries, &grace_ms, &self.policy.source_slots, &self.pool.name(), &longest_nap.map(ms)],
            )
            .await?
            .ok_or_else(|| DatabaseError::Statement("no row of what lies ahead".into()))?;
        // It begins at the start as well.
        self.cursors().set_scan_time(asked.elapsed(), Instant::now());
        Ok(NextDue { due_in: duration(&row, "sleep_ms"), maintain_in: duration(&row, "clean_ms"), is_waiting: row.get("is_marked") })
    }
}

/// Zero for what has passed.
pub(super) fn duration(row: &Row, milliseconds: &str) -> Option<Duration> {
    row.get::<_, Option<i64>>(milliseconds).map(|ms| Duration::from_millis(ms.max(0).unsigned_abs()))
}
