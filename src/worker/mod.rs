//! The loop: free slots → claim → spawn; then sleep until the next due instant, a wake, or a slot.
//!
//! Must not know: SQL, AWS, mail. Claims only what it can start at once; keeps I3 (no connection is held while an attempt works) and I7 (an
//! attempt ends itself before its lease does). The wake carries no data: after every sleep the tables are asked.

mod attempt;
mod chores;
mod handler;
mod heartbeat;
mod maintain;
mod notices;
mod outage;
mod sleep;
mod tally;
mod turn;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use self::chores::AbandonedUploads;
pub use self::handler::{ExportAndMail, Handler};
use self::heartbeat::Leases;
use self::maintain::Maintainer;
use self::notices::Gatherer;
pub use self::notices::NoticeOptions;
use self::outage::Outage;
use self::sleep::Sleeper;
pub use self::tally::{Budget, Tally};
use self::turn::Turn;
use crate::admin::{Admin, Retention};
use crate::database::DatabaseError;
use crate::export::Exporter;
use crate::job::StopReason;
use crate::message::Messenger;
use crate::queue::{FreeSlots, Listener, Queue, Scan};
use crate::source::Sources;
use crate::store::Store;

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

/// One process' worker.
pub struct Worker {
    queue: Queue,
    admin: Admin,
    handler: Arc<dyn Handler>,
    messenger: Arc<Messenger>,
    options: WorkOptions,
    leases: Arc<Leases>,
    maintainer: Maintainer,
    gatherer: Gatherer,
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
        let maintainer = Maintainer::new(queue.clone(), admin.clone(), sources, store, &options);
        let gatherer = Gatherer::new(queue.clone(), options.notices.clone());
        let handler = Arc::new(ExportAndMail { queue: queue.clone(), exporter, messenger: messenger.clone() });
        Worker { queue, admin, handler, messenger, options, leases: Arc::new(Leases::default()), maintainer, gatherer }
    }

    /// The same with another handler: to measure or test the queue without files and mails.
    pub fn handling(self, handler: Arc<dyn Handler>) -> Worker {
        Worker { handler, ..self }
    }

    /// Work until told to stop.
    ///
    /// # Errors
    /// Only what does not get better by waiting: a refused login, a schema that is not ours.
    pub async fn run(self, listener: Listener, stop: CancellationToken) -> Result<Tally, DatabaseError> {
        let sleeper = Sleeper::listening(self.queue.clone(), self.maintainer.clone(), listener.wake.clone(), self.options.poll);
        let beating = heartbeat::spawn(self.queue.clone(), self.leases.clone(), self.options.heartbeat, listener.cancel.clone());
        let asking = chores::spawn_quota(self.admin.clone(), self.messenger.clone());
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
            chores::record_quota(&self.admin, &self.messenger).await;
        }
        tally
    }

    async fn work(&self, mut sleeper: Option<Sleeper>, budget: Budget, stop: CancellationToken) -> Result<Tally, DatabaseError> {
        let free = FreeSlots { exports: self.options.slots, messages: self.options.mail_slots };
        let mut turn = Turn::new(free);
        self.show_slots(&turn);
        let started = Instant::now();
        let mut outage = Outage::default();
        let mut has_looked = false;
        // A full scan, because a drain has asked before what is due, and only a full scan is sure to find that.
        let mut scan = Scan::Full;
        self.maintainer.request();
        // A drain needs no timers: it ends before another turn of maintenance is due, and it gathers notices at its end.
        let _sweeping = sleeper.is_some().then(|| self.maintainer.spawn());
        let _gathering = sleeper.as_ref().and_then(|sleeper| self.gatherer.spawn(sleeper.wake()));
        let ended = loop {
            while let Some(finished) = turn.attempts.try_join_next() {
                self.account(&mut turn, finished).await;
            }
            if stop.is_cancelled() {
                break Ok(());
            }
            let free = budget.limit(turn.free, &turn.tally);
            if budget.is_spent(started, &turn.tally) {
                turn.tally.budget_spent = true;
                // A drain without time to work still ends lost leases.
                let none = FreeSlots { exports: 0, messages: 0 };
                break if has_looked { Ok(()) } else { self.claim(&mut turn, none, scan, None).await.map(drop) };
            }
            let time_left = budget.time_left(started);
            let mut claimed = self.claim(&mut turn, free, std::mem::replace(&mut scan, Scan::FromCursor), time_left).await;
            if let Ok(found) = &claimed
                && found.jobs == 0
                && free.messages < turn.free.messages
            {
                // The budget was kept for exports, and no export is due: mails may have it. They are claimed with the same kind of scan.
                let scan = if found.full_scan_in.is_none() { Scan::Full } else { Scan::FromCursor };
                let for_mails = FreeSlots { exports: 0, messages: free.exports.min(turn.free.messages) };
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
            let free = budget.limit(turn.free, &turn.tally);
            if (found.jobs > 0 || std::mem::take(&mut turn.scheduled)) && !free.is_full() {
                // There may be more to claim: behind what was just claimed, or just requested by a schedule.
                continue;
            }
            if sleeper.is_none() && turn.attempts.is_empty() {
                if found.full_scan_in.is_none() && !self.gather(&mut turn).await {
                    break Ok(());
                }
                // Nothing is due behind the cursors. Before leaving, a full scan finds the rest, and the mails that were just gathered.
                scan = Scan::Full;
                continue;
            }
            let nap = async {
                match &mut sleeper {
                    Some(sleeper) => sleeper.sleep(free, found.full_scan_in).await,
                    // A drain only waits for its own attempts, and claims again now and then.
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
            // The exports of this process have ended, so another process may start some under the common limit.
            let _ = self.queue.wake_another().await;
        }
        self.maintainer.done(self.options.grace).await;
        ended.map(|()| turn.tally)
    }
}
