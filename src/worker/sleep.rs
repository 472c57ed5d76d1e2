//! When to wake. Polling is the truth; a wake saves the wait.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::queue::{Queue, QueueError, Room};

/// Decides how long an idle worker sleeps.
pub(super) struct Sleeper {
    queue: Queue,
    wake: Arc<Notify>,
    poll: Duration,
    /// Transactions that had inserted when this worker marked itself asleep; they will not wake it. `None`: not marked.
    unheard: Option<HashSet<String>>,
    /// Turns that found nothing although something was due: another process or a person holds the row.
    empty_turns: u32,
}

impl Sleeper {
    pub(super) fn listening(queue: Queue, wake: Arc<Notify>, poll: Duration) -> Sleeper {
        Sleeper { queue, wake, poll, unheard: None, empty_turns: 0 }
    }

    /// Sleep until something may be due that this room could take. When the database cannot be asked, the next claim says so.
    pub(super) async fn sleep(&mut self, room: Room) {
        let nap = match self.nap(room).await {
            Ok(nap) => nap,
            Err(error) => {
                tracing::debug!(%error, "could not prepare to sleep");
                self.unheard = None;
                Duration::from_millis(500)
            }
        };
        tokio::select! {
            () = self.wake.notified() => self.empty_turns = 0,
            () = tokio::time::sleep(nap) => {}
        }
    }

    async fn nap(&mut self, room: Room) -> Result<Duration, QueueError> {
        let poll = self.poll.mul_f64(0.8 + fastrand::f64() * 0.4);
        if room.is_full() {
            if self.unheard.take().is_some() {
                self.queue.awake().await?;
            }
            return Ok(poll);
        }
        let due = self.queue.next_due(room).await?;
        if due == Some(Duration::ZERO) {
            self.empty_turns = self.empty_turns.saturating_add(1);
            // The first look after marking finds what came in between; a row that somebody holds is looked at ever less often.
            return Ok(Duration::from_millis(5).saturating_mul(1 << self.empty_turns.min(8)));
        }
        self.empty_turns = 0;
        let nap = due.unwrap_or(poll).min(poll);
        let in_flight: HashSet<String> = self.queue.requests_in_flight().await?.into_iter().collect();
        match &mut self.unheard {
            None => {
                // Mark first, then look once more: what was inserted in between has found nobody asleep.
                self.queue.wait(poll.mul_f64(1.5)).await?;
                self.unheard = Some(self.queue.requests_in_flight().await?.into_iter().chain(in_flight).collect());
                Ok(Duration::ZERO)
            }
            Some(unheard) => {
                unheard.retain(|transaction| in_flight.contains(transaction));
                if unheard.is_empty() {
                    self.queue.wait(nap.mul_f64(1.5) + Duration::from_secs(1)).await?;
                    Ok(nap)
                } else {
                    Ok(nap.min(Duration::from_millis(250)))
                }
            }
        }
    }
}
