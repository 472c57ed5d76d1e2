//! The cap: no more exports run at once on the source than so many, whatever the number of processes.

use std::time::Duration;

use exportbox::job::{Kind, StopReason};
use exportbox::queue::{FreeSlots, Scan};

use crate::harness::rows::WORKERS;
use crate::harness::{GATED, World};

const RUNNING: &str = "select count(*) from exportbox.jobs where state = 'running' and kind = 'export'";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn claims_at_once_never_take_more_than_the_cap_together_and_all_of_it_is_used() {
    let mut world = World::new().await;
    world.settings.policy.source_slots = Some(3);
    world.request_many(60, "select 1").await;
    for round in 0..10 {
        let claims = (0..8).map(|number| {
            let queue = world.queue(&format!("worker {number}"));
            tokio::spawn(async move { (queue.cycle(FreeSlots { exports: 4, messages: 4 }, Scan::FromCursor).await.unwrap().leases, queue) })
        });
        let mut leases = Vec::new();
        for claim in claims.collect::<Vec<_>>() {
            let (taken, queue) = claim.await.unwrap();
            leases.extend(taken.into_iter().map(|lease| (lease, queue.clone())));
        }
        assert_eq!((leases.len(), world.count(RUNNING).await), (3, 3), "round {round}");
        for (lease, queue) in leases {
            queue.settle(lease, StopReason::Shutdown.into()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn mails_go_on_while_the_cap_is_reached() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let lease = world.claimed("one", &["ann@example.com"]).await;
    let manifest = world.made_by(&lease);
    world.queue("one").settle(lease, exportbox::job::Outcome::Exported(manifest)).await.unwrap();
    world.settings.policy.source_slots = Some(1);
    world.request_many(2, "select 1").await;
    assert_eq!(world.claim("one", 4, 0).await.len(), 1);
    let more: Vec<_> = world.claim("two", 4, 4).await.iter().map(|lease| lease.kind()).collect();
    assert_eq!(more, [Kind::Message]);
}

#[tokio::test]
async fn a_worker_without_a_place_sleeps_until_a_lease_ends_instead_of_looking_again_and_again() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.settings.policy.source_slots = Some(1);
    world.request_many(2, "select 1").await;
    assert_eq!(world.claim("one", 4, 0).await.len(), 1);
    let nap = world.queue("two").next_due(FreeSlots { exports: 4, messages: 4 }, None).await.unwrap().due_in;
    assert!(nap.is_some_and(|nap| nap > Duration::from_secs(60)), "{nap:?}");
    world.settings.policy.source_slots = Some(2);
    assert_eq!(world.queue("two").next_due(FreeSlots { exports: 4, messages: 4 }, None).await.unwrap().due_in, Some(Duration::ZERO));
}

#[tokio::test]
async fn two_daemons_under_a_cap_of_one_do_all_exports_one_after_the_other() {
    let mut world = World::new().await;
    world.settings.policy.source_slots = Some(1);
    world.settings.work.poll = Duration::from_millis(500);
    let gate = world.gate().await;
    let ids = [world.request(GATED, &[]).await, world.request(GATED, &[]).await, world.request(GATED, &[]).await];
    let daemons = [world.start().await, world.start().await];
    world.until(&format!("({RUNNING}) = 1")).await;
    for daemon in &daemons {
        world.until(&format!("exists (select from {WORKERS} where id = '{}')", daemon.worker)).await;
    }
    gate.open().await;
    for id in ids {
        world.until_state(id, "completed").await;
    }
    let overlaps = "select count(*) from exportbox.attempts as one join exportbox.attempts as other
        on (one.job_id, one.number) < (other.job_id, other.number) and one.started_at < other.finished_at and other.started_at < one.finished_at";
    assert_eq!(world.count(overlaps).await, 0);
    for daemon in daemons {
        daemon.stop().await;
    }
}
