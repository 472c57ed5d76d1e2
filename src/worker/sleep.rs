//! When to wake. Polling is the truth; a wake saves the wait.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::maintain::Maintainer;
use crate::database::DatabaseError;
use crate::queue::{FreeSlots, Queue, WaitState};

/// Decides how long an idle worker sleeps.
pub(super) struct Sleeper {
    queue: Queue,
    maintainer: Maintainer,
    wake: Arc<Notify>,
    poll: Duration,
    /// Whether this worker may be marked as asleep.
    is_waiting: bool,
    /// A mark was begun, and who had inserted before it is not known yet.
    is_starting_to_wait: bool,
    /// Transactions that had inserted when this worker was marked; they will not wake it.
    unheard: HashSet<String>,
    /// Turns that found nothing although something was due or is about to be committed.
    empty_turns: u32,
}

/// How long to sleep, and what to ask after it.
enum Nap {
    /// Something may be due then: claim.
    Claim(Duration),
    /// Nothing is known to be due by then: look at what lies next.
    Ask(Duration),
}

impl Sleeper {
    pub(super) fn listening(queue: Queue, maintainer: Maintainer, wake: Arc<Notify>, poll: Duration) -> Sleeper {
        Sleeper { queue, maintainer, wake, poll, is_waiting: false, is_starting_to_wait: false, unheard: HashSet::new(), empty_turns: 0 }
    }

    /// Tell it to wake this worker.
    pub(super) fn wake(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    /// Sleep until something may be due that this room could take: as long as nothing is, one statement for each longest sleep. When the database
    /// cannot be asked, the next claim says so. A worker that has not looked at everything sleeps no longer than until it may.
    pub(super) async fn sleep(&mut self, room: FreeSlots, full_scan_in: Option<Duration>) {
        loop {
            let nap = self.nap(room, full_scan_in).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "could not prepare to sleep");
                Nap::Claim(Duration::from_millis(500))
            });
            let (Nap::Claim(length) | Nap::Ask(length)) = nap;
            tokio::select! {
                () = self.wake.notified() => {
                    self.empty_turns = 0;
                    if room.exports == 0 && let Err(error) = self.queue.wake_another().await {
                        // Sent when this worker still had room: pass it on.
                        tracing::debug!(%error, "could not pass a wake on");
                    }
                    return;
                }
                () = tokio::time::sleep(length) => {}
            }
            if matches!(nap, Nap::Claim(_)) {
                return;
            }
        }
    }

    async fn nap(&mut self, room: FreeSlots, full_scan_in: Option<Duration>) -> Result<Nap, DatabaseError> {
        let poll = self.poll.mul_f64(0.8 + fastrand::f64() * 0.4);
        // What applications insert are exports: who cannot start one must not take the wake from another.
        if room.exports == 0 && self.is_waiting {
            self.queue.awake().await?;
            self.is_waiting = false;
        }
        if room.is_full() {
            return Ok(Nap::Claim(poll));
        }
        if let Some(soon) = full_scan_in {
            // Nobody wakes a process that is not marked as asleep, and until then it looks at what is new by itself.
            let look = if room.exports > 0 { Duration::from_secs(1) } else { poll };
            return Ok(Nap::Claim(soon.min(poll).min(look)));
        }
        let next = self.queue.next_due(room, (room.exports > 0).then_some(poll)).await?;
        self.maintainer.plan(next.maintain_in);
        let nap = match next.due_in {
            // Another process or a person holds the row: looked at ever less often.
            Some(Duration::ZERO) => return Ok(Nap::Claim(self.back_off(poll))),
            Some(due) if due < poll => Nap::Claim(due),
            _ => Nap::Ask(poll),
        };
        let (Nap::Claim(length) | Nap::Ask(length)) = nap;
        if room.exports == 0 {
            return Ok(nap);
        }
        self.is_waiting = true;
        // This future may be dropped at any await: a mark that was set and not followed up counts as new the next time.
        let is_new = std::mem::replace(&mut self.is_starting_to_wait, true);
        if is_new || !next.is_waiting {
            if self.queue.wait(length).await? == WaitState::Deaf {
                return Ok(nap);
            }
            // Whoever is through by now has left a job to be found, whoever is not is waited for.
            self.unheard.extend(self.queue.requests_in_flight().await?);
            self.is_starting_to_wait = false;
            return Ok(Nap::Claim(Duration::ZERO));
        }
        self.is_starting_to_wait = false;
        if self.unheard.is_empty() {
            self.empty_turns = 0;
            return Ok(nap);
        }
        let in_flight = self.queue.requests_in_flight().await?;
        let before = self.unheard.len();
        self.unheard.retain(|transaction| in_flight.contains(transaction));
        // Committed after the last look, perhaps.
        Ok(Nap::Claim(if self.unheard.len() < before { Duration::ZERO } else { self.back_off(length) }))
    }

    fn back_off(&mut self, longest: Duration) -> Duration {
        self.empty_turns = self.empty_turns.saturating_add(1);
        Duration::from_millis(5).saturating_mul(1 << self.empty_turns.min(8)).min(longest)
    }
}
