//! What may happen next, and what comes of it.

use exportbox::job::State;
use stateright::{Model, Property};

use super::Protocol;
use super::properties::properties;
use super::state::{DEADLINE, EXPORT, End, GRACE, LEASE, LEASES, MAIL, NOTICE, Run, Status, Step, System, Worker};

/// One event. A number is that of a worker, if nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Time passes, for the database and for every worker.
    Tick,
    /// A cycle of a worker: reap, then claim this job. `heard`: the reply arrives.
    Claim {
        worker: usize,
        job: usize,
        heard: bool,
    },
    /// A heartbeat lands. `heard`: the reply arrives.
    Beat {
        worker: usize,
        heard: bool,
    },
    /// The attempt notes where it is about to store.
    Note(usize),
    /// It looks at its clock for the last time and sends the request that makes the object.
    Publish(usize),
    /// The store carries that request out; also while the worker is suspended.
    Land(usize),
    /// The attempt stamps its mail as sending.
    Stamp(usize),
    /// The attempt finds that its notice has nothing to tell any more.
    Moot(usize),
    /// A process puts what died into a notice.
    Gather,
    /// The provider is called.
    Call {
        worker: usize,
        reply: Reply,
    },
    /// The handler fails, or is given back, before it had an effect.
    Fail {
        worker: usize,
        end: End,
    },
    /// The worker's own clock stops the attempt.
    Stop(usize),
    /// The outcome is written. `heard`: the reply arrives.
    Settle {
        worker: usize,
        heard: bool,
    },
    /// A process that has no room reaps.
    Reap,
    /// What an attempt of the export left is removed; the number is that of the lease.
    Sweep(u8),
    Cancel,
    Requeue,
    /// The request's not_after passes before it was started.
    Expire,
    /// A process dies. `lands`: the store carries out what was on its way.
    Crash {
        worker: usize,
        lands: bool,
    },
    Pause(usize),
    Resume(usize),
}

/// What the provider answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Accepted,
    /// The mail is taken, the answer does not arrive.
    Lost,
    /// The mail is not taken.
    Refused,
}

/// Count down, or say that there is nothing left of it.
fn spend(left: &mut u8) -> Option<()> {
    *left = left.checked_sub(1)?;
    Some(())
}

impl Protocol {
    /// Whether the attempt's worker may rely on its own clock; if not it has to stop.
    fn in_time(&self, run: &Run) -> bool {
        !self.guards.own_clock || (run.lease > 0 && run.deadline > 0)
    }

    /// A worker that is awake and would go on working.
    pub fn works<'a>(&self, worker: &'a Worker) -> Option<&'a Run> {
        let works = |run: &&Run| !worker.paused && self.in_time(run) && matches!(run.step, Step::Claimed | Step::Noted);
        worker.run.as_ref().filter(works)
    }

    fn must_stop(&self, worker: &Worker) -> bool {
        let stops = |run: Run| !self.in_time(&run) && matches!(run.step, Step::Claimed | Step::Noted | Step::Publishing);
        !worker.paused && worker.run.is_some_and(stops)
    }

    /// Time passes only when those who are awake have looked at their clocks, and somebody has reaped what is overdue. An expired lease may
    /// wait a tick longer.
    fn tick(&self, system: &mut System) -> Option<()> {
        let overdue = system.jobs.iter().flatten().any(|job| self.lost(job) && (job.lease < 0 || job.deadline <= -GRACE));
        if overdue || system.workers.iter().any(|worker| self.must_stop(worker)) {
            return None;
        }
        for job in system.jobs.iter_mut().flatten().filter(|job| job.is_running()) {
            (job.lease, job.deadline) = ((job.lease - 1).max(-1), (job.deadline - 1).max(-GRACE - 1));
        }
        for run in system.workers.iter_mut().filter_map(|worker| worker.run.as_mut()) {
            (run.lease, run.deadline) = ((run.lease - 1).max(0), (run.deadline - 1).max(0));
        }
        Some(())
    }

    fn beat(&self, system: &mut System, run: &mut Run, heard: bool) {
        let (finds, job) = (self.finds(system, run), system.jobs[run.job].as_mut().unwrap());
        if finds && job.is_running() {
            job.lease = LEASE;
        }
        if heard {
            let ours = job.token == Some(run.token);
            run.lease = if ours { LEASE - 1 } else { run.lease };
            // Once the provider is being called nothing interrupts the attempt.
            if run.step != Step::Stamped && (!ours || job.cancel) {
                run.step = Step::Ended { end: if ours { End::Cancelled } else { End::LeaseLost }, again: false };
            }
        }
    }

    fn land(&self, system: &mut System, number: u8) -> End {
        let key = self.key(number);
        // Put with if-none-match: what lies there stays.
        if system.store[key] != 0 {
            return End::Retry;
        }
        system.store[key] = number;
        End::Exported
    }

    fn stamp(&self, system: &mut System, run: &mut Run) {
        let cancelled = system.jobs[run.job].as_ref().unwrap().cancel;
        run.step = if !self.finds(system, run) {
            Step::Ended { end: End::LeaseLost, again: false }
        } else if cancelled && self.guards.stamp_hears_cancel {
            Step::Ended { end: End::Cancelled, again: false }
        } else {
            if self.guards.stamp {
                system.status[run.job] = Some(Status::Sending);
            }
            run.against_a_cancel = cancelled;
            Step::Stamped
        };
    }

    /// One step of a worker that has an attempt. The attempt is given back as it is after it, or gone.
    fn work(&self, system: &mut System, mut run: Run, event: Event) -> Option<Option<Run>> {
        let ended = |end| Step::Ended { end, again: false };
        run.step = match (event, run.step) {
            (Event::Beat { heard, .. }, Step::Claimed | Step::Noted | Step::Publishing | Step::Stamped) => {
                if !heard {
                    spend(&mut system.left.losses)?;
                }
                self.beat(system, &mut run, heard);
                run.step
            }
            (Event::Note(_), Step::Claimed) if run.job == EXPORT => {
                if self.finds(system, &run) {
                    let job = system.jobs[EXPORT].as_mut().unwrap();
                    job.rows.iter_mut().flatten().filter(|row| row.token == run.token).for_each(|row| row.noted = true);
                    Step::Noted
                } else {
                    ended(End::LeaseLost)
                }
            }
            (Event::Publish(_), Step::Noted) if self.in_time(&run) => Step::Publishing,
            (Event::Land(_), Step::Publishing) => ended(self.land(system, run.number)),
            (Event::Moot(_), Step::Claimed) if run.job == NOTICE && !system.is_dead() => ended(End::Moot),
            (Event::Stamp(_), Step::Claimed) if run.job == MAIL || run.job == NOTICE && system.is_dead() => {
                self.stamp(system, &mut run);
                run.step
            }
            (Event::Call { reply, .. }, Step::Stamped) => {
                match reply {
                    Reply::Accepted => {}
                    Reply::Lost => spend(&mut system.left.losses)?,
                    Reply::Refused => spend(&mut system.left.failures)?,
                }
                system.mails[run.job] += u8::from(reply != Reply::Refused);
                ended(match reply {
                    Reply::Accepted => End::Sent,
                    Reply::Lost => End::Unknown,
                    Reply::Refused => End::Retry,
                })
            }
            (Event::Fail { end, .. }, Step::Claimed | Step::Noted) if (run.step == Step::Noted) == (run.job == EXPORT) => {
                spend(&mut system.left.failures)?;
                ended(end)
            }
            (Event::Stop(_), Step::Claimed | Step::Noted | Step::Publishing) if !self.in_time(&run) => {
                ended(if run.lease <= 0 { End::LeaseLost } else { End::Retry })
            }
            (Event::Settle { heard, .. }, Step::Ended { end, again }) => {
                let mailing = again && !self.guards.one_statement && end == End::Exported && system.object.is_some();
                if mailing && system.jobs[MAIL].is_none() {
                    // What a second statement would be: it comes later, or never.
                    self.queue_mail(system);
                    return Some(None);
                }
                let written = !again && self.settle(system, &run, end);
                if !heard {
                    spend(&mut system.left.losses)?;
                }
                if !written || (heard && (self.guards.one_statement || end != End::Exported)) {
                    return Some(None);
                }
                Step::Ended { end, again: true }
            }
            _ => return None,
        };
        Some(Some(run))
    }

    fn happen(&self, system: &mut System, event: Event) -> Option<()> {
        match event {
            Event::Tick => self.tick(system)?,
            Event::Claim { worker, job, heard } => {
                let pending = system.jobs[job].as_ref().is_some_and(|job| job.state == State::Pending);
                if !pending || system.workers[worker].run.is_some() {
                    return None;
                }
                spend(&mut system.left.leases[job])?;
                // What this very cycle reaps waits for its back-off.
                self.reap(system);
                let run = self.claim(system, job);
                if heard {
                    system.workers[worker].run = Some(run);
                } else {
                    spend(&mut system.left.losses)?;
                }
            }
            Event::Reap => self.reap(system),
            Event::Gather => self.gather(system).then_some(())?,
            Event::Sweep(number) => self.sweep(system, number).then_some(())?,
            Event::Cancel => {
                spend(&mut system.left.cancels)?;
                self.cancel(system).then_some(())?;
            }
            Event::Requeue => {
                spend(&mut system.left.requeues)?;
                self.requeue(system).then_some(())?;
            }
            Event::Expire => {
                let fresh = system.jobs[EXPORT].as_ref().is_some_and(|job| job.state == State::Pending && job.leases == 0);
                fresh.then_some(())?;
                spend(&mut system.left.expiries)?;
                self.expire(system);
            }
            Event::Crash { worker, lands } => {
                let run = system.workers[worker].run.take()?;
                spend(&mut system.left.crashes)?;
                system.workers[worker].paused = false;
                if lands {
                    (run.step == Step::Publishing).then_some(())?;
                    self.land(system, run.number);
                }
            }
            Event::Pause(worker) => {
                let pausing = &mut system.workers[worker];
                (pausing.run.is_some() && !pausing.paused).then_some(())?;
                pausing.paused = true;
                spend(&mut system.left.pauses)?;
            }
            Event::Resume(worker) => {
                system.workers[worker].paused.then_some(())?;
                system.workers[worker].paused = false;
            }
            Event::Land(worker) => system.workers[worker].run = self.work(system, system.workers[worker].run?, event)?,
            Event::Beat { worker, .. } | Event::Call { worker, .. } | Event::Fail { worker, .. } | Event::Settle { worker, .. } => {
                self.awake(system, worker, event)?;
            }
            Event::Note(worker) | Event::Publish(worker) | Event::Stamp(worker) | Event::Moot(worker) | Event::Stop(worker) => {
                self.awake(system, worker, event)?
            }
        }
        Some(())
    }

    fn awake(&self, system: &mut System, worker: usize, event: Event) -> Option<()> {
        let Worker { run: Some(run), paused: false } = system.workers[worker] else { return None };
        system.workers[worker].run = self.work(system, run, event)?;
        Some(())
    }
}

impl Model for Protocol {
    type State = System;
    type Action = Event;

    fn init_states(&self) -> Vec<System> {
        vec![self.start.clone()]
    }

    fn actions(&self, system: &System, events: &mut Vec<Event>) {
        use Event::{
            Beat, Call, Cancel, Claim, Crash, Expire, Fail, Gather, Land, Moot, Note, Pause, Publish, Reap, Requeue, Resume, Settle, Stamp,
            Stop, Sweep, Tick,
        };
        events.extend([Tick, Reap, Gather, Cancel, Requeue, Expire]);
        events.extend((1..=LEASES as u8).map(Sweep));
        for (worker, at) in system.workers.iter().enumerate() {
            if let Some(run) = at.run {
                events.extend([true, false].map(|heard| Beat { worker, heard }));
                events.extend([false, true].map(|lands| Crash { worker, lands }));
                events.extend([Land(worker), Pause(worker), Resume(worker), Stop(worker)]);
                match run.step {
                    Step::Ended { .. } => events.extend([true, false].map(|heard| Settle { worker, heard })),
                    Step::Stamped => events.extend([Reply::Accepted, Reply::Lost, Reply::Refused].map(|reply| Call { worker, reply })),
                    _ => {
                        events.extend([Note(worker), Publish(worker), Stamp(worker), Moot(worker)]);
                        events.extend([End::Retry, End::Bury, End::Release].map(|end| Fail { worker, end }));
                    }
                }
            } else {
                events.extend([EXPORT, MAIL, NOTICE].into_iter().flat_map(|job| [true, false].map(|heard| Claim { worker, job, heard })));
            }
        }
    }

    fn next_state(&self, last: &System, event: Event) -> Option<System> {
        let mut next = last.clone();
        self.happen(&mut next, event)?;
        if self.alike {
            next.workers.sort_by_key(|worker| (worker.paused, worker.run.map(|run| (run.job, run.number))));
        }
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties()
    }
}

const _: () = assert!(DEADLINE >= LEASE);
