//! The statements, as the model has them: each moves jobs only along `TRANSITIONS`, the table that `transitions.rs` holds against the SQL.

use std::sync::atomic::Ordering;

use exportbox::job::{State, TRANSITIONS};

use super::Protocol;
use super::state::{
    CRASH_LIMIT, Closed, DEADLINE, EXPORT, End, GRACE, Job, LEASE, LEASES, MAIL, MAX_ATTEMPTS, MESSAGES, NOTICE, Row, Run, Status, Step,
    System,
};

impl Protocol {
    /// Move a job, or remember that the table knows no such way.
    fn transit(&self, system: &mut System, job: usize, verb: &'static str, to: State) {
        let from = system.jobs[job].as_ref().unwrap().state;
        let listed = TRANSITIONS.iter().position(|way| way.verb == verb && way.from == from && way.to.contains(&to));
        match listed {
            Some(way) => {
                let nth = TRANSITIONS[way].to.iter().position(|state| *state == to).unwrap();
                self.driven.fetch_or(1 << (way * 3 + nth), Ordering::Relaxed);
            }
            None => system.illegal = Some(verb),
        }
        system.deaths += u8::from(job == EXPORT && to == State::Dead);
        let moved = system.jobs[job].as_mut().unwrap();
        moved.state = to;
        if to != State::Running {
            (moved.token, moved.lease, moved.deadline) = (None, 0, 0);
        }
    }

    /// Whether a statement of this worker finds its row.
    pub fn finds(&self, system: &System, run: &Run) -> bool {
        !self.guards.fence || system.jobs[run.job].as_ref().unwrap().token == Some(run.token)
    }

    fn close(job: &mut Job, token: u8, closed: Closed) {
        for row in job.rows.iter_mut().flatten().filter(|row| row.token == token) {
            (row.closed, row.closes) = (Some(closed), row.closes.saturating_add(1));
        }
    }

    /// Where an attempt stores.
    pub fn key(&self, number: u8) -> usize {
        if self.guards.attempt_scoped_key { usize::from(number) } else { 0 }
    }

    pub fn claim(&self, system: &mut System, job: usize) -> Run {
        self.transit(system, job, "claim", State::Running);
        let claimed = system.jobs[job].as_mut().unwrap();
        claimed.attempt += 1;
        claimed.leases += 1;
        let (number, token) = (claimed.leases, if self.guards.fresh_token { claimed.leases } else { 1 });
        (claimed.token, claimed.lease, claimed.deadline) = (Some(token), LEASE, DEADLINE);
        claimed.rows[usize::from(number) - 1] = Some(Row { token, closed: None, closes: 0, noted: false, swept: false });
        // Measured from before the claim was asked for: the worker's clock is a tick ahead.
        Run { job, token, number, step: Step::Claimed, lease: LEASE - 1, deadline: DEADLINE, against_a_cancel: false }
    }

    /// Which jobs a reap takes.
    pub fn lost(&self, job: &Job) -> bool {
        let (expired, overran) = (job.lease <= 0 || !self.guards.expiry, job.deadline <= -GRACE && self.guards.deadline);
        job.is_running() && (expired || overran)
    }

    pub fn reap(&self, system: &mut System) {
        for index in [EXPORT, MAIL, NOTICE] {
            let Some(job) = system.jobs[index].as_ref().filter(|job| self.lost(job)) else { continue };
            let (token, crashed) = (job.token.unwrap(), job.lease <= 0);
            let dies = crashed && job.crashes + 1 >= CRASH_LIMIT && self.guards.crash_limit;
            let to = match () {
                () if job.cancel && self.guards.reap_hears_cancel => State::Cancelled,
                () if dies || job.attempt >= MAX_ATTEMPTS => State::Dead,
                () => State::Pending,
            };
            self.transit(system, index, "reap", to);
            let job = system.jobs[index].as_mut().unwrap();
            job.crashes += u8::from(crashed);
            job.cancel &= to == State::Cancelled;
            if self.guards.close_attempt {
                Self::close(job, token, Closed::Reaped);
            }
            if MESSAGES.contains(&index) {
                let maybe_sent = system.status[index] == Some(Status::Sending) && self.guards.mark;
                Self::mark(system, index, to, maybe_sent);
            }
        }
    }

    fn mark(system: &mut System, job: usize, to: State, maybe_sent: bool) {
        system.marks[job] += u8::from(maybe_sent);
        system.status[job] = Some(match to {
            _ if maybe_sent => Status::Unknown,
            State::Pending => Status::Pending,
            State::Cancelled => Status::Cancelled,
            _ => Status::Dead,
        });
    }

    /// Write an outcome. False: no row was found, the lease is gone.
    pub fn settle(&self, system: &mut System, run: &Run, end: End) -> bool {
        let verb = match end {
            End::Exported => "complete_exports",
            End::Sent => "complete_messages",
            End::Retry | End::Unknown => "retry",
            End::Bury => "bury",
            End::Release => "release",
            End::Cancelled | End::Moot => "settle_cancelled",
            End::LeaseLost => return false,
        };
        debug_assert!(TRANSITIONS.iter().any(|way| way.verb == verb && way.fenced));
        if !self.finds(system, run) {
            return false;
        }
        let job = system.jobs[run.job].as_ref().unwrap();
        let (to, closed) = match end {
            End::Exported if job.cancel && self.guards.complete_hears_cancel => (State::Cancelled, Closed::Cancelled),
            End::Exported | End::Sent => (State::Completed, Closed::Completed),
            End::Bury => (State::Dead, Closed::Buried),
            _ if job.cancel || matches!(end, End::Cancelled | End::Moot) => (State::Cancelled, Closed::Cancelled),
            End::Release => (State::Pending, Closed::Released),
            _ if job.attempt >= MAX_ATTEMPTS => (State::Dead, Closed::Buried),
            _ => (State::Pending, Closed::Retried),
        };
        self.transit(system, run.job, verb, to);
        let job = system.jobs[run.job].as_mut().unwrap();
        job.attempt = job.attempt.saturating_sub(u8::from(end == End::Release));
        job.cancel &= to == State::Cancelled;
        Self::close(job, run.token, closed);
        match end {
            End::Exported if to == State::Completed => {
                system.object = Some((self.key(run.number), run.number));
                if self.guards.one_statement {
                    self.queue_mail(system);
                }
            }
            End::Sent => system.status[run.job] = Some(Status::Accepted),
            _ if MESSAGES.contains(&run.job) => Self::mark(system, run.job, to, end == End::Unknown),
            _ => {}
        }
        true
    }

    pub fn queue_mail(&self, system: &mut System) {
        (system.jobs[MAIL], system.status[MAIL]) = (Some(Job::new()), Some(Status::Pending));
    }

    /// Put the death of the export into a notice. False: there is nothing to tell. Only the first notice is looked at.
    pub fn gather(&self, system: &mut System) -> bool {
        let is_told = system.jobs[NOTICE].is_some();
        if !system.is_dead() || system.noticed || is_told && self.guards.noticed {
            return false;
        }
        (system.noticed, system.notices) = (self.guards.noticed, system.notices + 1);
        if !is_told {
            (system.jobs[NOTICE], system.status[NOTICE]) = (Some(Job::new()), Some(Status::Pending));
        }
        !is_told || system.notices <= system.deaths + 1
    }

    pub fn cancel(&self, system: &mut System) -> bool {
        system.promised |= system.jobs[MAIL].is_none() && system.jobs[EXPORT].as_ref().is_some_and(|job| !job.state.is_final());
        let mut changed = false;
        for index in [EXPORT, MAIL] {
            match system.jobs[index].as_ref().map(|job| job.state) {
                Some(State::Pending) => {
                    self.transit(system, index, "exportbox.cancel", State::Cancelled);
                    changed = true;
                    if index == MAIL {
                        system.status[MAIL] = Some(Status::Cancelled);
                    }
                }
                Some(State::Running) => {
                    let job = system.jobs[index].as_mut().unwrap();
                    changed |= !job.cancel;
                    job.cancel = true;
                }
                _ => {}
            }
        }
        changed
    }

    pub fn requeue(&self, system: &mut System) -> bool {
        let mut changed = false;
        for index in [EXPORT, MAIL] {
            let Some(State::Dead | State::Cancelled) = system.jobs[index].as_ref().map(|job| job.state) else { continue };
            self.transit(system, index, "exportbox.requeue", State::Pending);
            let job = system.jobs[index].as_mut().unwrap();
            (job.attempt, job.crashes, job.cancel) = (0, 0, false);
            if index == MAIL {
                system.status[MAIL] = Some(Status::Pending);
            } else {
                system.noticed = false;
            }
            (changed, system.promised) = (true, false);
        }
        changed
    }

    pub fn expire(&self, system: &mut System) {
        self.transit(system, EXPORT, "expire", State::Cancelled);
    }

    /// Remove what an attempt stored. False: there is nothing to do.
    pub fn sweep(&self, system: &mut System, number: u8) -> bool {
        let Some(row) = system.jobs[EXPORT].as_ref().unwrap().rows[usize::from(number) - 1] else { return false };
        let lost = row.closed.is_some_and(|closed| closed != Closed::Completed || !self.guards.sweep_spares);
        if !lost || !row.noted || row.swept {
            return false;
        }
        let before = system.clone();
        system.store[self.key(number)] = 0;
        // Later than anything of it can arrive, it is swept for the last time.
        let may_arrive = system.workers.iter().any(|worker| worker.run.is_some_and(|run| run.job == EXPORT && run.number == number));
        let swept = !may_arrive || !self.guards.sweep_again;
        system.jobs[EXPORT].as_mut().unwrap().rows[usize::from(number) - 1] = Some(Row { swept, ..row });
        *system != before
    }
}

/// Which ways of the table nothing has gone yet.
pub fn not_driven(driven: u64) -> Vec<String> {
    let ways = TRANSITIONS
        .iter()
        .enumerate()
        .flat_map(|(way, listed)| listed.to.iter().enumerate().map(move |(nth, to)| (way * 3 + nth, listed, to)));
    ways.filter(|(bit, _, _)| driven & (1 << bit) == 0)
        .map(|(_, listed, to)| format!("{} from {} to {to}", listed.verb, listed.from))
        .collect()
}

const _: () = assert!(LEASES < 8);
