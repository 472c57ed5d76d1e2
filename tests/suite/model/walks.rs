//! Histories of the model to be played: random ones, the same each time, and of these the ones that show most.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use exportbox::job::State;
use stateright::Model;

use super::Protocol;
use super::state::{Status, System};
use super::steps::Event;

const WALKS: u64 = 4000;
const LONGEST: usize = 40;
const PLAYED: usize = 40;

/// What is new about an event: the same event in the same circumstances need not be played twice.
fn circumstances(protocol: &Protocol, system: &System, event: Event) -> String {
    let states: Vec<Option<(State, bool)>> = system.jobs.iter().map(|job| job.as_ref().map(|job| (job.state, job.cancel))).collect();
    let workers = system.workers.map(|worker| worker.run.map(|run| (run.job, run.step, protocol.finds(system, &run))));
    format!("{event:?} {states:?} {:?} {workers:?}", system.status.map(|status| status == Some(Status::Sending)))
}

/// One history: each event and what the model is after it.
pub type History = Vec<(Event, System)>;

fn walk(protocol: &Protocol, seed: u64, seen: &mut BTreeSet<String>) -> (usize, History) {
    let (mut random, mut system, mut history, mut news) = (fastrand::Rng::with_seed(seed), protocol.start.clone(), Vec::new(), 0);
    while history.len() < LONGEST {
        let mut steps = protocol.next_steps(&system);
        // Else most histories would be cut short by what people and accidents do.
        let rare = |event: &Event| matches!(event, Event::Cancel | Event::Requeue | Event::Crash { .. } | Event::Pause(_));
        steps.retain(|(event, _)| !rare(event) || random.u8(..4) == 0);
        if steps.is_empty() {
            break;
        }
        let (event, next) = steps.swap_remove(random.usize(..steps.len()));
        news += usize::from(seen.insert(circumstances(protocol, &system, event)));
        history.push((event, next.clone()));
        system = next;
    }
    (news, history)
}

/// The histories that show most that is new, and those that go a way of the table that the others do not go.
pub fn histories(protocol: &Protocol) -> Vec<History> {
    let mut seen = BTreeSet::new();
    let mut walks: Vec<(usize, History)> = (0..WALKS).map(|seed| walk(protocol, seed, &mut seen)).collect();
    // Stable: the order of equals is that of their seeds.
    walks.sort_by_key(|(news, _)| std::cmp::Reverse(*news));
    let (mut driven, mut chosen) = (0, Vec::new());
    for (_, history) in walks {
        protocol.driven.store(0, Ordering::Relaxed);
        let mut system = &protocol.start;
        for (event, next) in &history {
            protocol.next_state(system, *event);
            system = next;
        }
        let ways = protocol.driven.load(Ordering::Relaxed);
        if chosen.len() < PLAYED || driven | ways != driven {
            driven |= ways;
            chosen.push(history);
        }
    }
    chosen
}
