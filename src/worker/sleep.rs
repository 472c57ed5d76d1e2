//! How long an idle worker sleeps. It would find everything by polling; a wake only ends its sleep earlier.

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
    /// The tables may know that this worker waits.
    is_waiting: bool,
    /// It has begun to tell the tables, and does not know yet which transactions had inserted before.
    is_starting_to_wait: bool,
    /// Transactions that had inserted before the tables knew that this worker waits; they will not wake it.
    unheard: HashSet<String>,
    /// Turns that found nothing although something was due or is about to be committed.
    empty_turns: u32,
}

/// How long to sleep, and what to ask after it.
enum Nap {
    /// Something may be due then: claim.
    Claim(Duration),
    /// Nothing is known to be due by then: ask what is due next.
    Ask(Duration),
}

impl Sleeper {
    pub(super) fn listening(queue: Queue, maintainer: Maintainer, wake: Arc<Notify>, poll: Duration) -> Sleeper {
        Sleeper { queue, maintainer, wake, poll, is_waiting: false, is_starting_to_wait: false, unheard: HashSet::new(), empty_turns: 0 }
    }

    /// What wakes this worker.
    pub(super) fn wake(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    /// Sleep until something may be due that the free slots could take. While nothing is, this costs one statement per longest sleep. When the database
    /// cannot be asked, the next claim says so. A worker whose last claim was no full scan sleeps no longer than until one is due.
    pub(super) async fn sleep(&mut self, free: FreeSlots, full_scan_in: Option<Duration>) {
        loop {
            let nap = self.nap(free, full_scan_in).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "could not prepare to sleep");
                Nap::Claim(Duration::from_millis(500))
            });
            let (Nap::Claim(length) | Nap::Ask(length)) = nap;
            tokio::select! {
                () = self.wake.notified() => {
                    self.empty_turns = 0;
                    if free.exports == 0 && let Err(error) = self.queue.wake_another().await {
                        // The wake was sent when this worker still had a free slot: pass it on.
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

    async fn nap(&mut self, free: FreeSlots, full_scan_in: Option<Duration>) -> Result<Nap, DatabaseError> {
        let poll = self.poll.mul_f64(0.8 + fastrand::f64() * 0.4);
        // Applications insert exports. A worker without a free slot for one must not take the wake from another worker.
        if free.exports == 0 && self.is_waiting {
            self.queue.awake().await?;
            self.is_waiting = false;
        }
        if free.is_full() {
            return Ok(Nap::Claim(poll));
        }
        if let Some(soon) = full_scan_in {
            // Nothing wakes this worker yet, so it claims once a second by itself.
            let look = if free.exports > 0 { Duration::from_secs(1) } else { poll };
            return Ok(Nap::Claim(soon.min(poll).min(look)));
        }
        let next = self.queue.next_due(free, (free.exports > 0).then_some(poll)).await?;
        self.maintainer.plan(next.maintain_in);
        let nap = match next.due_in {
            // Something is due, but somebody has locked its row: try again, less often each time.
            Some(Duration::ZERO) => return Ok(Nap::Claim(self.back_off(poll))),
            Some(due) if due < poll => Nap::Claim(due),
            _ => Nap::Ask(poll),
        };
        let (Nap::Claim(length) | Nap::Ask(length)) = nap;
        if free.exports == 0 {
            return Ok(nap);
        }
        self.is_waiting = true;
        // This future may be dropped at any await. When it was dropped after the tables were told, the next call begins again.
        let is_new = std::mem::replace(&mut self.is_starting_to_wait, true);
        if is_new || !next.is_waiting {
            if self.queue.wait(length).await? == WaitState::Deaf {
                return Ok(nap);
            }
            // Transactions that have committed by now have left jobs that the next claim finds; the others are waited for.
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
        // One of them may have committed after the last claim.
        Ok(Nap::Claim(if self.unheard.len() < before { Duration::ZERO } else { self.back_off(length) }))
    }

    fn back_off(&mut self, longest: Duration) -> Duration {
        self.empty_turns = self.empty_turns.saturating_add(1);
        Duration::from_millis(5).saturating_mul(1 << self.empty_turns.min(8)).min(longest)
    }
}
