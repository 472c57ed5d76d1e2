//! The protocol as a model: claim, heartbeat, reap, settle, cancel, requeue, expire, sweep; two workers that are slow, suspended or dead at any
//! moment, replies that are lost. The checker tries every order of events within small bounds.
//!
//! The model moves jobs only along `TRANSITIONS` (`job/state.rs`), which `transitions.rs` holds against the SQL, and `conformance.rs` plays the
//! model's own histories on the real statements. `mutations/` takes the same guards away from the real code.

mod conformance;
mod guards;
mod play;
mod properties;
mod reachable;
mod state;
mod steps;
mod tables;
mod walks;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stateright::{Checker, HasDiscoveries, Model};

use guards::Guards;
use properties::{ATTEMPTS, CLEAN, CRASHES, DEADLINES, LEGAL, OBJECT, OWN, PROMISE, SILENT, STAMP, TOGETHER, TOLD};
use state::{Budget, System};

/// The model, with or without each guard.
#[derive(Clone)]
pub struct Protocol {
    guards: Guards,
    start: System,
    /// Worker one and worker two are the same to whoever looks: halves what there is to see.
    alike: bool,
    /// One bit for each way of the table that something went.
    driven: Arc<AtomicU64>,
}

const NOTHING: Budget = Budget { leases: [0; 3], crashes: 0, pauses: 0, losses: 0, failures: 0, cancels: 0, requeues: 0, expiries: 0 };

impl Protocol {
    fn new(start: System) -> Protocol {
        Protocol { guards: Guards::ALL, start, alike: true, driven: Arc::default() }
    }
}

/// The bounds: each is explored to its end. Narrow ones, since what may go wrong multiplies.
fn scopes() -> [(&'static str, System); 8] {
    let slow = Budget { crashes: 1, pauses: 1, ..NOTHING };
    let told = Budget { cancels: 1, requeues: 1, ..NOTHING };
    let ends = Budget { failures: 2, losses: 1, ..NOTHING };
    [
        ("a file, workers suspended and killed", System::new(Budget { leases: [3, 0, 0], ..slow })),
        ("a file, cancelled and requeued", System::new(Budget { leases: [2, 0, 0], expiries: 1, pauses: 1, ..told })),
        ("a file, attempts that fail and replies that are lost", System::new(Budget { leases: [3, 0, 0], ..ends })),
        ("a mail, workers suspended and killed", System::stored(Budget { leases: [0, 3, 0], ..slow })),
        (
            "a mail, cancelled, failed and requeued, with replies lost",
            System::stored(Budget { leases: [0, 2, 0], failures: 1, losses: 1, ..told }),
        ),
        ("a notice, its worker killed and replies lost", System::dead(Budget { leases: [0, 0, 2], crashes: 1, losses: 1, ..NOTHING })),
        (
            "a notice of an export that is requeued, and dies again",
            System::dead(Budget { leases: [1, 0, 2], requeues: 1, failures: 1, ..NOTHING }),
        ),
        ("a file and its mail, cancelled, with a crash", System::new(Budget { leases: [2, 2, 0], crashes: 1, cancels: 1, ..NOTHING })),
    ]
}

#[test]
fn every_order_of_events_keeps_the_invariants_and_drives_the_whole_table() {
    let driven = Arc::new(AtomicU64::new(0));
    for (name, start) in scopes() {
        let began = std::time::Instant::now();
        let protocol = Protocol { driven: driven.clone(), ..Protocol::new(start) };
        let checker = protocol.checker().threads(2).spawn_bfs().join();
        println!("{name}: {} states, {} steps deep, {:?}", checker.unique_state_count(), checker.max_depth(), began.elapsed());
        assert!(checker.is_done());
        checker.assert_properties();
    }
    let idle = tables::not_driven(driven.load(Ordering::Relaxed));
    assert!(idle.is_empty(), "the model never goes: {}", idle.join(", "));
}

#[test]
fn from_everywhere_the_work_comes_to_an_end() {
    std::thread::scope(|threads| {
        for (name, start) in scopes() {
            threads.spawn(move || {
                let stuck = reachable::stuck(&Protocol::new(start));
                assert!(stuck.is_none(), "{name}: nothing leads on from {stuck:#?}");
            });
        }
    });
}

/// A guard, the protocol without it, and what must be missed then.
type Missing = (&'static str, Guards, &'static [&'static str]);

fn missing() -> Vec<Missing> {
    let all = Guards::ALL;
    vec![
        ("the fence", Guards { fence: false, ..all }, &[LEGAL, ATTEMPTS]),
        ("the fresh token", Guards { fresh_token: false, ..all }, &[ATTEMPTS, OBJECT]),
        ("the attempt-scoped key", Guards { attempt_scoped_key: false, ..all }, &[OBJECT]),
        ("the expiry", Guards { expiry: false, ..all }, &[OWN]),
        ("the deadline", Guards { deadline: false, ..all }, &[DEADLINES]),
        ("the worker's own clock", Guards { own_clock: false, ..all }, &[OWN]),
        ("the stamp", Guards { stamp: false, ..all }, &[SILENT]),
        ("the stamp's look at the cancel", Guards { stamp_hears_cancel: false, ..all }, &[STAMP]),
        ("the mark", Guards { mark: false, ..all }, &[SILENT]),
        ("the completion's look at the cancel", Guards { complete_hears_cancel: false, ..all }, &[PROMISE]),
        ("the reaper's look at the cancel", Guards { reap_hears_cancel: false, ..all }, &[PROMISE]),
        ("the one statement", Guards { one_statement: false, ..all }, &[TOGETHER]),
        ("the closing of attempts", Guards { close_attempt: false, ..all }, &[ATTEMPTS]),
        ("the crash limit", Guards { crash_limit: false, ..all }, &[CRASHES]),
        ("the noticing of what was gathered", Guards { noticed: false, ..all }, &[TOLD]),
        ("the sparing of what completed", Guards { sweep_spares: false, ..all }, &[OBJECT]),
        ("the second sweep", Guards { sweep_again: false, ..all }, &[CLEAN]),
    ]
}

#[test]
fn without_any_single_guard_the_checker_finds_what_goes_wrong() {
    let show = std::env::var("MODEL_PATHS").is_ok();
    for (guard, guards, expected) in missing() {
        for property in expected {
            let found = scopes().into_iter().find_map(|(_, start)| {
                let protocol = Protocol { guards, ..Protocol::new(start) };
                let wanted = HasDiscoveries::AllOf([*property].into());
                let checker = protocol.checker().threads(2).finish_when(wanted).spawn_bfs().join();
                checker.discovery(property).map(|path| path.into_actions())
            });
            let path = found.unwrap_or_else(|| panic!("nobody misses {guard}: {property}"));
            println!("without {guard}, after {} events: not \"{property}\"", path.len());
            if show {
                path.iter().for_each(|event| println!("    {event:?}"));
            }
        }
    }
}
