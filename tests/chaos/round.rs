//! One round from its beginning to its verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clients::Clients;
use crate::schedule::{KINDS, Kind, schedule, write};
use crate::workers::{Workers, fake_clock};
use crate::world::World;
use crate::{Settings, checker, faults, settle};

/// Play a round; true: nothing was violated.
pub async fn play(settings: Settings) -> bool {
    let began = Instant::now();
    let planned = schedule(settings);
    let world = Arc::new(World::build(settings).await);
    let tally = &world.tally;
    write(&planned, settings, &world.dir.join("schedule.log"));
    let minutes = settings.faults_for.as_secs_f64() / 60.0;
    tally.say(format_args!("seed {}, {} faults in {minutes:.2} minutes; logs in {}", settings.seed, planned.len(), world.dir.display()));
    if fake_clock().is_none() {
        tally.say("libfaketime is not installed (apt-get install faketime): no clock will be off");
    }

    let workers = Arc::new(Workers::start(&world).await);
    let clients = Clients::start(&world, settings.seed);
    faults::play(&world, &workers, &planned).await;
    faults::heal(&world, &workers, &planned).await;
    tally.note("healed");
    clients.stop().await;
    let settled = settle::until_final(&world).await;
    let mut workers = Arc::into_inner(workers).expect("every fault is over");
    workers.stop().await;
    settle::last_drain(&world).await;

    let findings = checker::check(&world, workers.clocks_off()).await;
    tally.hit(Kind::Clock, findings.clocks_off);
    tally.say(tally.by_kind());
    let mut violations = findings.violations;
    violations.extend(workers.odd_ends());
    let missing = KINDS.iter().filter(|(kind, _)| tally.of(*kind) == 0 && (*kind != Kind::Clock || fake_clock().is_some()));
    violations.extend(missing.map(|(kind, _)| format!("the round had no {}: it proves nothing about it", kind.word())));
    violations.iter().for_each(|violation| tally.say(format_args!("VIOLATION {violation}")));
    tally.say(format_args!("{} settled={:.0}s requeued={}", findings.also, settled.took.as_secs_f64(), settled.requeued));
    let counts = findings.counts;
    // The last line, for whoever reads only one.
    println!(
        "requests={} faults={} lost={} doubled={} silent={} stuck={} violations={} seed={} minutes={minutes} took={:.0}s",
        counts.requests,
        tally.faults(),
        counts.lost,
        counts.doubled,
        counts.silent,
        counts.stuck,
        violations.len(),
        settings.seed,
        began.elapsed().as_secs_f64()
    );
    if let Some(world) = Arc::into_inner(world) {
        drop(tokio::time::timeout(Duration::from_secs(30), world.sandbox.into_inner().stop()).await);
    }
    violations.is_empty()
}
