//! The loop: free slots → claim → spawn; then sleep until the next due instant, a wake, or a slot.
//!
//! Must not know: SQL, AWS, mail. Claims only what it can start at once; keeps I3 (no connection is held while an attempt works) and I7 (an
//! attempt ends itself before its lease does). The wake carries no data: after every sleep the tables are asked.

mod attempt;
mod budget;
mod chores;
mod handler;
mod heartbeat;
mod maintain;
mod notices;
mod outage;
mod quota;
mod sleep;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::attempt::Finished;
pub use self::budget::Budget;
pub use self::chores::AbandonedUploads;
pub use self::handler::{ExportAndMail, Handler};
use self::heartbeat::Leases;
use self::maintain::Cleaner;
use self::notices::Gatherer;
pub use self::notices::NoticeOptions;
use self::outage::Outage;
use self::sleep::Sleeper;
use crate::admin::{Admin, Retention};
use crate::database::DatabaseError;
use crate::export::Exporter;
use crate::job::{Kind, State, StopReason};
use crate::message::Messenger;
use crate::metrics;
use crate::queue::{FreeSlots, Listener, Queue, Scan, Settled};
use crate::source::Sources;
use crate::store::Store;

/// The most that one run of `reap` or `expire` ends.
const MOST_ENDED: usize = 100;

/// How one process works.
#[derive(Debug, Clone)]
pub struct WorkOptions {
    /// Exports at once.
    pub slots: usize,
    /// Mails at once.
    pub mail_slots: usize,
    /// The longest sleep.
    pub poll: Duration,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// How long running attempts may go on after a stop.
    pub grace: Duration,
    /// How long what is final is kept.
    pub retention: Retention,
    /// Which uploads in parts are aborted; none: none.
    pub abandoned_uploads: Option<AbandonedUploads>,
    /// Who is told of failures.
    pub notices: NoticeOptions,
}

/// What a process did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Jobs claimed.
    pub claimed: usize,
    /// Exports stored.
    pub exported: usize,
    /// Mails taken by the provider.
    pub mailed: usize,
    /// Attempts that will be tried again.
    pub retried: usize,
    /// Jobs that died.
    pub dead: usize,
    /// Jobs cancelled, the expired ones not counted.
    pub cancelled: usize,
    /// Jobs not started by their `not_after`.
    pub expired: usize,
    /// Requests made for schedules.
    pub scheduled: usize,
    /// Leases of lost workers that were ended.
    pub reaped: usize,
    /// Attempts whose lease was gone at the end.
    pub lease_lost: usize,
    /// A drain's budget ran out.
    pub budget_spent: bool,
}

/// One process' worker.
pub struct Worker {
    queue: Queue,
    admin: Admin,
    handler: Arc<dyn Handler>,
    messenger: Arc<Messenger>,
    options: WorkOptions,
    leases: Arc<Leases>,
    cleaner: Cleaner,
    gatherer: Gatherer,
}

/// What the loop keeps between turns.
struct Turn {
    attempts: JoinSet<Finished>,
    free: FreeSlots,
    tally: Tally,
    /// Requests were made for schedules, and no look has seen their jobs yet.
    scheduled: bool,
    /// Mails about what has died so far are queued.
    has_gathered: bool,
}

/// What a look found.
struct Found {
    jobs: usize,
    /// As many leases or requests were ended as one statement ends.
    has_more_to_end: bool,
    /// There may be more that only a full scan finds, and one is due after this long.
    full_scan_in: Option<Duration>,
}

impl Worker {
    /// A worker over ready-made parts.
    pub fn new(
        queue: Queue,
        admin: Admin,
        sources: Sources,
        store: Store,
        exporter: Exporter,
        messenger: Messenger,
        options: WorkOptions,
    ) -> Worker {
        let (exporter, messenger) = (Arc::new(exporter), Arc::new(messenger));
        let cleaner = Cleaner::new(queue.clone(), admin.clone(), sources, store, &options);
        let gatherer = Gatherer::new(queue.clone(), options.notices.clone());
        let handler = Arc::new(ExportAndMail { queue: queue.clone(), exporter, messenger: messenger.clone() });
        Worker { queue, admin, handler, messenger, options, leases: Arc::new(Leases::default()), cleaner, gatherer }
    }

    /// The same with a handler of the caller's own: for who measures or tries the queue without files and mails.
    pub fn handling(self, handler: Arc<dyn Handler>) -> Worker {
        Worker { handler, ..self }
    }

    /// Work until told to stop.
    ///
    /// # Errors
    /// Only what waiting cannot mend: a refused login, a schema that is not ours.
    pub async fn run(self, listener: Listener, stop: CancellationToken) -> Result<Tally, DatabaseError> {
        let sleeper = Sleeper::listening(self.queue.clone(), self.cleaner.clone(), listener.wake.clone(), self.options.poll);
        let beating = heartbeat::spawn(self.queue.clone(), self.leases.clone(), self.options.heartbeat, listener.cancel.clone());
        let asking = quota::spawn(self.admin.clone(), self.messenger.clone());
        let tally = self.work(Some(sleeper), Budget::default(), stop).await;
        asking.abort();
        beating.abort();
        drop(listener);
        let _ = self.queue.unregister().await;
        tally
    }

    /// Work until nothing is due, the budget is spent, or told to stop.
    ///
    /// # Errors
    /// The database cannot be reached, refuses the login, or its schema is not ours.
    pub async fn drain(self, budget: Budget, stop: CancellationToken) -> Result<Tally, DatabaseError> {
        let beating =
            heartbeat::spawn(self.queue.clone(), self.leases.clone(), self.options.heartbeat, Arc::new(tokio::sync::Notify::new()));
        let tally = self.work(None, budget, stop).await;
        beating.abort();
        if tally.as_ref().is_ok_and(|tally| tally.mailed > 0) {
            quota::note(&self.admin, &self.messenger).await;
        }
        tally
    }

    async fn work(&self, mut sleeper: Option<Sleeper>, budget: Budget, stop: CancellationToken) -> Result<Tally, DatabaseError> {
        let free = FreeSlots { exports: self.options.slots, messages: self.options.mail_slots };
        let mut turn = Turn { attempts: JoinSet::new(), free, tally: Tally::default(), scheduled: false, has_gathered: false };
        self.show_slots(&turn);
        let started = Instant::now();
        let mut outage = Outage::default();
        let mut has_looked = false;
        // Whoever has asked before what is due has seen jobs that a full scan finds.
        let mut scan = Scan::Full;
        self.cleaner.clean_up();
        // A drain is over before anything has to be looked at again; what it has to tell it gathers at its end.
        let _sweeping = sleeper.is_some().then(|| self.cleaner.spawn());
        let _gathering = sleeper.as_ref().and_then(|sleeper| self.gatherer.spawn(sleeper.wake()));
        let ended = loop {
            while let Some(finished) = turn.attempts.try_join_next() {
                self.account(&mut turn, finished).await;
            }
            if stop.is_cancelled() {
                break Ok(());
            }
            let room = budget.limit(turn.free, &turn.tally);
            if budget.is_spent(started, &turn.tally) {
                turn.tally.budget_spent = true;
                // Who has no time to work still ends the leases of those that are gone.
                let none = FreeSlots { exports: 0, messages: 0 };
                break if has_looked { Ok(()) } else { self.claim(&mut turn, none, scan, None).await.map(drop) };
            }
            let time_left = budget.time_left(started);
            let mut claimed = self.claim(&mut turn, room, std::mem::replace(&mut scan, Scan::FromCursor), time_left).await;
            if let Ok(found) = &claimed
                && found.jobs == 0
                && room.messages < turn.free.messages
            {
                // The budget was kept for exports, and there are none: mails may have it, and are looked for in the same way.
                let scan = if found.full_scan_in.is_none() { Scan::Full } else { Scan::FromCursor };
                let for_mails = FreeSlots { exports: 0, messages: room.exports.min(turn.free.messages) };
                claimed = self.claim(&mut turn, for_mails, scan, time_left).await;
            }
            let found = match claimed {
                Ok(found) => found,
                Err(error) => match outage.wait_after(error, sleeper.is_some(), &stop).await {
                    Ok(()) => continue,
                    Err(error) => break Err(error),
                },
            };
            outage = Outage::over();
            has_looked = true;
            if found.has_more_to_end {
                scan = Scan::Full;
                continue;
            }
            let room = budget.limit(turn.free, &turn.tally);
            if (found.jobs > 0 || std::mem::take(&mut turn.scheduled)) && !room.is_full() {
                // There may be more behind what was just taken, and what was just requested for a schedule is there.
                continue;
            }
            if sleeper.is_none() && turn.attempts.is_empty() {
                if found.full_scan_in.is_none() && !self.gather(&mut turn).await {
                    break Ok(());
                }
                // Nothing lies behind the cursors: make sure of the rest, and of the mails that were just gathered, before leaving.
                scan = Scan::Full;
                continue;
            }
            let nap = async {
                match &mut sleeper {
                    Some(sleeper) => sleeper.sleep(room, found.full_scan_in).await,
                    // A drain only waits for its own attempts, and looks around now and then.
                    None => tokio::time::sleep(found.full_scan_in.unwrap_or(self.options.poll).min(self.options.poll)).await,
                }
            };
            let out_of_time = budget.runs_out(started);
            tokio::select! {
                () = stop.cancelled() => {}
                () = out_of_time => {}
                Some(finished) = turn.attempts.join_next() => self.account(&mut turn, finished).await,
                () = nap => {}
            }
        };
        if sleeper.is_none() && !stop.is_cancelled() {
            self.gather(&mut turn).await;
        }
        self.finish(turn, ended, &stop).await
    }

    /// In a drain: queue the mails about what has died. Returns whether there are any that were not there before.
    async fn gather(&self, turn: &mut Turn) -> bool {
        if std::mem::replace(&mut turn.has_gathered, true) {
            return false;
        }
        self.gatherer.gather().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "could not gather notices, the next process will");
            false
        })
    }

    /// One claim cycle; starts what it got.
    async fn claim(&self, turn: &mut Turn, room: FreeSlots, scan: Scan, time_left: Option<Duration>) -> Result<Found, DatabaseError> {
        let asked = Instant::now();
        let cycle = self.queue.cycle_within(room, scan, time_left).await?;
        turn.tally.expired += cycle.expired;
        metrics::expired(cycle.expired);
        turn.tally.reaped += cycle.reaped.len();
        for reaped in &cycle.reaped {
            tracing::warn!(export.id = reaped.export_id.map(tracing::field::display), job.id = %reaped.job_id, state = reaped.state, error.class = reaped.error_class, "reaped");
            metrics::reaped(&reaped.state);
            turn.tally.dead += usize::from(reaped.state == State::Dead.as_str());
        }
        if !cycle.reaped.is_empty() {
            step!("worker.reaped");
            self.cleaner.clean_up();
            self.tell_of_deaths(turn);
        }
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
        // After what was claimed has begun to beat: its leases run already.
        for schedule in &cycle.schedules {
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
        self.show_slots(turn);
        if found > 0 && (turn.free.exports == 0 && room.exports > 0 || turn.free.messages == 0 && room.messages > 0) {
            // Full: whatever is left is for somebody who sleeps, and that is not this process.
            let passed_on = async {
                self.queue.awake().await?;
                self.queue.wake_another().await
            };
            if let Err(error) = passed_on.await {
                tracing::debug!(%error, "could not wake another worker");
            }
        }
        let has_more_to_end = cycle.expired.max(reaped) >= MOST_ENDED;
        Ok(Found { jobs: found, has_more_to_end, full_scan_in: cycle.full_scan_in })
    }

    fn tell_of_deaths(&self, turn: &mut Turn) {
        turn.has_gathered = false;
        self.gatherer.request();
    }

    fn show_slots(&self, turn: &Turn) {
        let WorkOptions { slots, mail_slots, .. } = self.options;
        metrics::slots(Kind::Export.shown(), slots, slots - turn.free.exports);
        metrics::slots(Kind::Message.shown(), mail_slots, mail_slots - turn.free.messages);
    }

    async fn account(&self, turn: &mut Turn, finished: Result<Finished, tokio::task::JoinError>) {
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
            self.cleaner.clean_up();
        }
    }

    /// Stop claiming → grace → ask to stop → release → close.
    async fn finish(&self, mut turn: Turn, ended: Result<(), DatabaseError>, stop: &CancellationToken) -> Result<Tally, DatabaseError> {
        if stop.is_cancelled() && !turn.attempts.is_empty() {
            tracing::info!(running = turn.attempts.len(), grace_s = self.options.grace.as_secs(), "stopping");
        }
        let grace = tokio::time::sleep(self.options.grace);
        tokio::pin!(grace);
        loop {
            tokio::select! {
                finished = turn.attempts.join_next() => match finished {
                    Some(finished) => self.account(&mut turn, finished).await,
                    None => break,
                },
                () = &mut grace, if !grace.is_elapsed() => self.leases.stop_all(StopReason::Shutdown),
            }
        }
        if self.queue.policy().source_slots.is_some() {
            // The places of this process are free now, and it takes none of them any more.
            let _ = self.queue.wake_another().await;
        }
        self.cleaner.done(self.options.grace).await;
        ended.map(|()| turn.tally)
    }
}
