//! When to wake. Polling is the truth; a wake saves the wait.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::queue::{Mark, Queue, QueueError, Room};

/// Decides how long an idle worker sleeps.
pub(super) struct Sleeper {
    queue: Queue,
    wake: Arc<Notify>,
    poll: Duration,
    /// Whether this worker may be marked as asleep.
    is_marked: bool,
    /// A mark was begun, and who had inserted before it is not known yet.
    is_marking: bool,
    /// Transactions that had inserted when this worker was marked; they will not wake it.
    unheard: HashSet<String>,
    /// Turns that found nothing although something was due or is about to be committed.
    empty_turns: u32,
}

impl Sleeper {
    pub(super) fn listening(queue: Queue, wake: Arc<Notify>, poll: Duration) -> Sleeper {
        Sleeper { queue, wake, poll, is_marked: false, is_marking: false, unheard: HashSet::new(), empty_turns: 0 }
    }

    /// Sleep until something may be due that this room could take. When the database cannot be asked, the next claim says so.
    /// A worker that has not looked at everything sleeps no longer than until it may.
    pub(super) async fn sleep(&mut self, room: Room, thorough_in: Option<Duration>) {
        let nap = match self.nap(room, thorough_in).await {
            Ok(nap) => nap,
            Err(error) => {
                tracing::debug!(%error, "could not prepare to sleep");
                Duration::from_millis(500)
            }
        };
        tokio::select! {
            () = self.wake.notified() => {
                self.empty_turns = 0;
                if room.exports == 0 && let Err(error) = self.queue.wake_another().await {
                    // Sent when this worker still had room: pass it on.
                    tracing::debug!(%error, "could not pass a wake on");
                }
            }
            () = tokio::time::sleep(nap) => {}
        }
    }

    async fn nap(&mut self, room: Room, thorough_in: Option<Duration>) -> Result<Duration, QueueError> {
        let poll = self.poll.mul_f64(0.8 + fastrand::f64() * 0.4);
        // What applications insert are exports: who cannot start one must not take the wake from another.
        if room.exports == 0 && self.is_marked {
            self.queue.awake().await?;
            self.is_marked = false;
        }
        if room.is_full() {
            return Ok(poll);
        }
        if let Some(soon) = thorough_in {
            // Nobody wakes a process that is not marked as asleep, and until then it looks at what is new by itself.
            let look = if room.exports > 0 { Duration::from_secs(1) } else { poll };
            return Ok(soon.min(poll).min(look));
        }
        let due = self.queue.next_due(room).await?;
        if due == Some(Duration::ZERO) {
            // Another process or a person holds the row: looked at ever less often.
            return Ok(self.back_off(poll));
        }
        let nap = due.unwrap_or(poll).min(poll);
        if room.exports == 0 {
            return Ok(nap);
        }
        self.is_marked = true;
        // This future may be dropped at any await: a mark that was set and not followed up counts as new the next time.
        let is_new = std::mem::replace(&mut self.is_marking, true);
        match self.queue.wait(nap).await? {
            Mark::Deaf => Ok(nap),
            mark if is_new || mark == Mark::New => {
                // Whoever is through by now has left a job to be found, whoever is not is waited for.
                self.unheard.extend(self.queue.requests_in_flight().await?);
                self.is_marking = false;
                Ok(Duration::ZERO)
            }
            _ => {
                self.is_marking = false;
                if !self.unheard.is_empty() {
                    let in_flight = self.queue.requests_in_flight().await?;
                    let before = self.unheard.len();
                    self.unheard.retain(|transaction| in_flight.contains(transaction));
                    if self.unheard.len() < before {
                        // Committed after the last look, perhaps.
                        return Ok(Duration::ZERO);
                    }
                    return Ok(self.back_off(nap));
                }
                self.empty_turns = 0;
                Ok(nap)
            }
        }
    }

    fn back_off(&mut self, longest: Duration) -> Duration {
        self.empty_turns = self.empty_turns.saturating_add(1);
        Duration::from_millis(5).saturating_mul(1 << self.empty_turns.min(8)).min(longest)
    }
}
