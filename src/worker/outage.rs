//! What a worker does when the database cannot be asked: for which errors it waits, and how long.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::database::DatabaseError;
use crate::metrics;

/// Waits longer each time; in a drain, not for ever.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// The tables could be asked before, so this may be a failover.
    reached: bool,
    since: Option<Instant>,
    failures: u32,
}

impl Outage {
    /// The tables could be asked just now.
    pub(super) fn over() -> Outage {
        Outage { reached: true, ..Outage::default() }
    }

    /// Wait before asking again. An error that does not get better by waiting, or not in time, is returned.
    pub(super) async fn wait_after(&mut self, error: DatabaseError, forever: bool, stop: &CancellationToken) -> Result<(), DatabaseError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        // A drain that never reached its database says so at once; one that lost it waits about as long as a failover takes.
        let patience = if forever { Duration::MAX } else { Duration::from_secs(120) };
        let worth_waiting = error.is_transient() || forever && matches!(error, DatabaseError::Statement(_));
        // Read-only from the start is no failover: the URL names a replica, or somebody has made the database so.
        let never_writable = !forever && !self.reached && error == DatabaseError::ReadOnly;
        if !worth_waiting || never_writable || since.elapsed() > patience {
            return Err(error);
        }
        self.failures += 1;
        metrics::database_error();
        let delay = Duration::from_millis(200).saturating_mul(1 << self.failures.min(7)).mul_f64(0.75 + fastrand::f64() / 2.0);
        tracing::warn!(%error, retry_ms = delay.as_millis(), "the database cannot be asked");
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(delay) => {}
        }
        Ok(())
    }
}
