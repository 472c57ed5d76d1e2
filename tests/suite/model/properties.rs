//! What must be true at every moment, whatever happens in whatever order. Each cites its invariant of `src/lib.rs`.

use exportbox::job::State;
use stateright::Property;

use super::Protocol;
use super::state::{CRASH_LIMIT, Closed, EXPORT, GRACE, Job, MAIL, MESSAGES, Step, System};

pub const LEGAL: &str = "every change of a job is a way of the table";
pub const ATTEMPTS: &str = "only a running job has an open attempt, each is closed once (I2, I6)";
pub const OBJECT: &str = "a completed export shows the very bytes of the attempt that settled it (I4)";
pub const TOGETHER: &str = "a delivery exists if and only if its export is completed (I5)";
pub const SILENT: &str = "no mail is doubled without having been marked as maybe sent (I1)";
pub const TOLD: &str = "a death is told in one notice";
pub const PROMISE: &str = "what was cancelled before it was completed is never mailed";
pub const STAMP: &str = "no provider is called against a cancel that came before the stamp";
pub const DEADLINES: &str = "no attempt outlives its deadline and the grace";
pub const OWN: &str = "who is awake works only under a lease of its own (I7)";
pub const CRASHES: &str = "a job that loses its worker too often is dead";
pub const CLEAN: &str = "whatever lies in the store is shown, or will be swept";

fn jobs(system: &System) -> impl Iterator<Item = &Job> {
    system.jobs.iter().flatten()
}

fn attempts(system: &System) -> bool {
    jobs(system).all(|job| {
        let open: Vec<u8> = job.rows.iter().flatten().filter(|row| row.closed.is_none()).map(|row| row.token).collect();
        open == Vec::from_iter(job.token) && job.rows.iter().flatten().all(|row| row.closes <= 1)
    })
}

fn object(system: &System) -> bool {
    let export = system.jobs[EXPORT].as_ref().unwrap();
    match system.object {
        None => export.state != State::Completed,
        Some((key, maker)) => {
            let row = export.rows[usize::from(maker) - 1];
            export.state == State::Completed && system.store[key] == maker && row.is_some_and(|row| row.closed == Some(Closed::Completed))
        }
    }
}

fn clean(system: &System) -> bool {
    let export = system.jobs[EXPORT].as_ref().unwrap();
    (0..).zip(system.store).filter(|(_, maker)| *maker != 0).all(|(key, maker)| {
        let swept = export.rows[usize::from(maker) - 1].is_some_and(|row| row.swept);
        system.object == Some((key, maker)) || !swept
    })
}

fn own(protocol: &Protocol, system: &System) -> bool {
    let holds = |token, job: usize| system.jobs[job].as_ref().is_some_and(|job| job.token == Some(token));
    system.workers.iter().filter_map(|worker| protocol.works(worker)).all(|run| holds(run.token, run.job))
}

fn spared(system: &System) -> bool {
    !system.workers.iter().filter_map(|worker| worker.run).any(|run| run.step == Step::Stamped && run.against_a_cancel)
}

pub fn properties() -> Vec<Property<Protocol>> {
    vec![
        Property::always(LEGAL, |_: &Protocol, system: &System| system.illegal.is_none()),
        Property::always(ATTEMPTS, |_: &Protocol, system: &System| attempts(system)),
        Property::always(OBJECT, |_: &Protocol, system: &System| object(system)),
        Property::always(TOGETHER, |_: &Protocol, system: &System| {
            system.jobs[MAIL].is_some() == (system.jobs[EXPORT].as_ref().unwrap().state == State::Completed)
        }),
        Property::always(SILENT, |_: &Protocol, system: &System| MESSAGES.iter().all(|job| system.mails[*job] <= 1 + system.marks[*job])),
        Property::always(TOLD, |_: &Protocol, system: &System| system.notices <= system.deaths),
        Property::always(PROMISE, |_: &Protocol, system: &System| {
            !system.promised || (system.jobs[MAIL].is_none() && system.mails[MAIL] == 0)
        }),
        Property::always(STAMP, |_: &Protocol, system: &System| spared(system)),
        Property::always(DEADLINES, |_: &Protocol, system: &System| jobs(system).all(|job| !job.is_running() || job.deadline >= -GRACE)),
        Property::always(OWN, own),
        Property::always(CRASHES, |_: &Protocol, system: &System| {
            jobs(system).all(|job| job.state.is_final() || job.crashes < CRASH_LIMIT)
        }),
        Property::always(CLEAN, |_: &Protocol, system: &System| clean(system)),
    ]
}
