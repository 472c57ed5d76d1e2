//! Nothing gets stuck: from every state that can be reached, people who do nothing more, and workers that do not fail, bring the work to its end.

use std::collections::HashMap;

use exportbox::job::State;
use stateright::Model;

use super::Protocol;
use super::state::System;
use super::steps::{Event, Reply};

/// What happens by itself when nothing goes wrong any more.
fn helps(event: Event) -> bool {
    match event {
        Event::Tick | Event::Note(_) | Event::Publish(_) | Event::Land(_) | Event::Stamp(_) | Event::Stop(_) => true,
        Event::Moot(_) | Event::Gather | Event::Reap | Event::Resume(_) | Event::Sweep(_) => true,
        Event::Claim { heard, .. } | Event::Beat { heard, .. } | Event::Settle { heard, .. } => heard,
        Event::Call { reply, .. } => reply == Reply::Accepted,
        Event::Fail { .. } | Event::Cancel | Event::Requeue | Event::Expire | Event::Crash { .. } | Event::Pause(_) => false,
    }
}

/// Nobody works, and every job is final, or waits only for a lease that is beyond the bounds.
fn is_at_rest(system: &System) -> bool {
    let mut jobs = system.jobs.iter().zip(system.left.leases).filter_map(|(job, left)| job.as_ref().map(|job| (job.state, left)));
    system.workers.iter().all(|worker| worker.run.is_none())
        && jobs.all(|(state, left)| state.is_final() || (state == State::Pending && left == 0))
}

/// A state from which no rest can be reached.
pub fn stuck(protocol: &Protocol) -> Option<System> {
    let start = protocol.start.clone();
    let (mut numbers, mut states, mut before) = (HashMap::from([(start.clone(), 0)]), vec![start], vec![Vec::new()]);
    let (mut next, mut events) = (0, Vec::new());
    while next < states.len() {
        protocol.actions(&states[next], &mut events);
        for event in events.drain(..) {
            let Some(state) = protocol.next_state(&states[next], event) else { continue };
            let number = *numbers.entry(state).or_insert_with_key(|state| {
                states.push(state.clone());
                before.push(Vec::new());
                states.len() - 1
            });
            if helps(event) {
                before[number].push(next);
            }
        }
        next += 1;
    }
    let mut rests: Vec<bool> = states.iter().map(is_at_rest).collect();
    let mut todo: Vec<usize> = (0..states.len()).filter(|number| rests[*number]).collect();
    while let Some(number) = todo.pop() {
        for earlier in &before[number] {
            if !rests[*earlier] {
                rests[*earlier] = true;
                todo.push(*earlier);
            }
        }
    }
    rests.iter().position(|rests| !rests).map(|number| states[number].clone())
}
