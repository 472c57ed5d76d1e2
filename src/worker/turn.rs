//! One turn of the loop: a claim cycle starts attempts, and what has ended is counted.

use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};

use super::attempt::EndedAttempt;
use super::{Tally, WorkOptions, Worker};
use crate::database::DatabaseError;
use crate::job::{Kind, State};
use crate::metrics;
use crate::queue::{DueSchedule, FreeSlots, Reaped, Scan, Settled};

/// The most that one run of `reap` or `expire` ends.
const MOST_ENDED: usize = 100;

/// What the loop keeps between turns.
pub(super) struct Turn {
    pub attempts: JoinSet<EndedAttempt>,
    pub free: FreeSlots,
    pub tally: Tally,
    /// Requests were made for schedules, and no claim has seen their jobs yet.
    pub scheduled: bool,
    /// Mails about what has died so far are queued.
    pub has_gathered: bool,
}

/// What a claim cycle found.
pub(super) struct Found {
    pub jobs: usize,
    /// One statement has ended as many leases or requests as it can, so there may be more.
    pub has_more_to_end: bool,
    /// How long until a full scan is due, which may find more. `None`: this was one.
    pub full_scan_in: Option<Duration>,
}

impl Turn {
    /// The first one, with nothing claimed.
    pub(super) fn new(free: FreeSlots) -> Turn {
        Turn { attempts: JoinSet::new(), free, tally: Tally::default(), scheduled: false, has_gathered: false }
    }
}

impl Worker {
    /// One claim cycle. Starts the jobs that it got.
    pub(super) async fn claim(
        &self,
        turn: &mut Turn,
        free: FreeSlots,
        scan: Scan,
        time_left: Option<Duration>,
    ) -> Result<Found, DatabaseError> {
        let asked = Instant::now();
        let cycle = self.queue.cycle_within(free, scan, time_left).await?;
        turn.tally.expired += cycle.expired;
        metrics::expired(cycle.expired);
        self.count_reaped(turn, &cycle.reaped);
        let (found, reaped) = (cycle.leases.len(), cycle.reaped.len());
        for lease in cycle.leases {
            match lease.kind() {
                Kind::Export => {
                    step!("export.claimed");
                    turn.free.exports -= 1;
                }
                Kind::Message => {
                    step!("message.claimed");
                    turn.free.messages -= 1;
                }
            }
            turn.tally.claimed += 1;
            metrics::claimed(lease.kind().shown());
            turn.attempts.spawn(self.attempt(lease, asked));
        }
        // Only now: the leases run already, so their attempts must have begun to beat.
        self.request_scheduled(turn, &cycle.schedules).await;
        self.show_slots(turn);
        if found > 0 && (turn.free.exports == 0 && free.exports > 0 || turn.free.messages == 0 && free.messages > 0) {
            self.pass_wake_on().await;
        }
        let has_more_to_end = cycle.expired.max(reaped) >= MOST_ENDED;
        Ok(Found { jobs: found, has_more_to_end, full_scan_in: cycle.full_scan_in })
    }

    fn count_reaped(&self, turn: &mut Turn, all: &[Reaped]) {
        turn.tally.reaped += all.len();
        for reaped in all {
            tracing::warn!(export.id = reaped.export_id.map(tracing::field::display), job.id = %reaped.job_id, state = reaped.state, error.class = reaped.error_class, "reaped");
            metrics::reaped(&reaped.state);
            turn.tally.dead += usize::from(reaped.state == State::Dead.as_str());
        }
        if !all.is_empty() {
            step!("worker.reaped");
            self.maintainer.request();
            self.tell_of_deaths(turn);
        }
    }

    async fn request_scheduled(&self, turn: &mut Turn, due: &[DueSchedule]) {
        for schedule in due {
            match self.queue.request_scheduled(schedule).await {
                Ok(0) => {}
                Ok(requested) => {
                    tracing::info!(schedule = schedule.name, requests = requested, "requested what a schedule is due for");
                    turn.tally.scheduled += requested;
                    turn.scheduled = true;
                }
                // The others have their turn all the same; this one stays due.
                Err(error) => {
                    tracing::warn!(schedule = schedule.name, %error, "could not request what a schedule is due for, trying again")
                }
            }
        }
    }

    /// All slots of a kind are taken now. What is left is for another process that sleeps, and this one must not be woken for it.
    async fn pass_wake_on(&self) {
        let passed_on = async {
            self.queue.awake().await?;
            self.queue.wake_another().await
        };
        if let Err(error) = passed_on.await {
            tracing::debug!(%error, "could not wake another worker");
        }
    }

    fn tell_of_deaths(&self, turn: &mut Turn) {
        turn.has_gathered = false;
        self.gatherer.request();
    }

    /// Tell the metrics how many slots there are, and how many are taken.
    pub(super) fn show_slots(&self, turn: &Turn) {
        let WorkOptions { slots, mail_slots, .. } = self.options;
        metrics::slots(Kind::Export.shown(), slots, slots - turn.free.exports);
        metrics::slots(Kind::Message.shown(), mail_slots, mail_slots - turn.free.messages);
    }

    /// An attempt has ended: count it, and free its slot.
    pub(super) async fn account(&self, turn: &mut Turn, finished: Result<EndedAttempt, JoinError>) {
        // The task catches its handler's panic; what is left is a cancelled runtime.
        let Ok(finished) = finished else { return };
        match finished.kind {
            Kind::Export => turn.free.exports += 1,
            Kind::Message => turn.free.messages += 1,
        }
        self.show_slots(turn);
        let tally = &mut turn.tally;
        match finished.settled {
            Ok(Settled::Done(State::Completed)) if finished.kind == Kind::Export => tally.exported += 1,
            Ok(Settled::Done(State::Completed)) => tally.mailed += 1,
            Ok(Settled::Done(State::Dead)) => {
                tally.dead += 1;
                self.tell_of_deaths(turn);
            }
            Ok(Settled::Done(State::Cancelled)) => tally.cancelled += 1,
            Ok(Settled::Done(State::Pending | State::Running)) => tally.retried += 1,
            Ok(Settled::LeaseLost) | Err(_) => tally.lease_lost += 1,
        }
        if finished.kind == Kind::Export && finished.settled != Ok(Settled::Done(State::Completed)) {
            self.maintainer.request();
        }
    }

    /// In a drain: queue the mails about what has died. Returns whether there are any that were not there before.
    pub(super) async fn gather(&self, turn: &mut Turn) -> bool {
        if std::mem::replace(&mut turn.has_gathered, true) {
            return false;
        }
        self.gatherer.gather().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "could not gather notices, the next process will");
            false
        })
    }
}
