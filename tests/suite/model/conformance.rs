//! The model against the real thing: histories of the model are played on the real statements, through `Queue`, in a real PostgreSQL, and after
//! every event the job tables must say what the model says.

use std::sync::atomic::Ordering;
use std::time::Duration;

use exportbox::queue::Policy;
use stateright::Model;

use super::play::{Player, TICK};
use super::state::{Budget, CRASH_LIMIT, DEADLINE, Job, LEASE, MAIL, MAX_ATTEMPTS, NOTICE, System};
use super::walks::histories;
use super::{Protocol, tables};
use crate::harness::World;

/// Long histories in which everything may happen.
const AMPLE: Budget = Budget { leases: [4, 4, 4], crashes: 2, pauses: 2, losses: 3, failures: 4, cancels: 2, requeues: 2, expiries: 1 };

fn job(kind: &str, job: &Job) -> String {
    let holder = job.token.map_or("nobody".into(), |token| token.to_string());
    let rows = job.rows.iter().flatten().map(|row| {
        let closed = row.closed.map_or("open".into(), |closed| format!("{closed:?}").to_lowercase());
        format!("{} {closed}{}", row.token, if row.noted { " noted" } else { "" })
    });
    let cancel = if job.cancel { " cancel" } else { "" };
    let counts = format!("attempt {} leases {} crashes {}", job.attempt, job.leases, job.crashes);
    format!("{kind} {} {counts}{cancel} held by {holder} [{}]", job.state, rows.collect::<Vec<_>>().join(", "))
}

/// What the tables have to say, in the words of `Player::tables`.
fn tables_of(system: &System) -> String {
    let jobs = system.jobs.iter().zip(["export", "delivery", "notice"]);
    let mut lines: Vec<String> = jobs.filter_map(|(known, kind)| known.as_ref().map(|known| job(kind, known))).collect();
    let status = |job: usize| system.status[job].map_or("none".into(), |status| format!("{status:?}").to_lowercase());
    let object = system.object.map_or("none".into(), |(_, maker)| maker.to_string());
    for (name, job) in [("mail", MAIL), ("notice", NOTICE)] {
        lines.push(format!("{name} {}, marks {}", status(job), system.marks[job]));
    }
    lines.push(format!("object {object}"));
    lines.join("\n")
}

#[tokio::test]
async fn the_statements_do_what_the_model_does() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.settings.policy = Policy {
        lease: TICK * u32::from(LEASE.unsigned_abs()),
        export_timeout: TICK * u32::from(DEADLINE.unsigned_abs()),
        message_timeout: TICK * u32::from(DEADLINE.unsigned_abs()),
        export_attempts: MAX_ATTEMPTS.into(),
        message_attempts: MAX_ATTEMPTS.into(),
        hold_unknown: false,
        ..Policy::default()
    };
    // The limit stands in the database alone.
    let limit = "create or replace function exportbox.crash_limit() returns smallint language sql immutable parallel safe return";
    world.sql(&format!("{limit} {CRASH_LIMIT}::smallint")).await;
    assert!(TICK > Duration::from_secs(60), "a test that takes as long as a tick would be wrong");
    let walking = Protocol { alike: false, ..Protocol::new(System::new(AMPLE)) };
    let protocol = Protocol { driven: Default::default(), ..walking.clone() };
    let (other, people) = (world.queue("other"), world.people("people"));
    let (mut events, mut late) = (0, 0);
    for history in histories(&walking) {
        let mut player = Player::new(&world, &other, &people).await;
        let (mut system, mut told) = (protocol.start.clone(), Vec::new());
        for (event, next) in history {
            told.push(format!("{event:?}"));
            protocol.next_state(&system, event).unwrap();
            late += usize::from(player.play(&protocol, &system, event, &next).await);
            if !next.jobs.iter().flatten().any(|job| protocol.lost(job)) {
                player.reap_in_vain().await;
            }
            assert_eq!(player.tables().await, tables_of(&next), "after {}", told.join(", "));
            system = next;
            events += 1;
        }
    }
    println!("{events} events; {late} times a worker was told that its lease was gone");
    let idle = tables::not_driven(protocol.driven.load(Ordering::Relaxed));
    assert!(idle.is_empty(), "no history goes: {}", idle.join(", "));
    assert!(late > 50, "only {late} late workers");
}
