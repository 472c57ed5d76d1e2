//! A flood of one kind of work does not keep other work from its turn.

use std::time::Duration;

use exportbox::job::{Failure, FailureClass, Kind, Outcome, Verdict};
use exportbox::queue::{FreeSlots, Lease, Queue, Scan};
use uuid::Uuid;

use crate::harness::World;
use crate::harness::rows::{hold_attempt, hold_jobs};

const ONE_EXPORT: FreeSlots = FreeSlots { exports: 1, messages: 0 };

/// Fail for a while, as a source or a provider that says "not now" does.
async fn fail(queue: &Queue, lease: Lease, class: FailureClass) {
    let failure = Failure::new(class, Verdict::Retry, "Not now.").with_retry_after(Some(Duration::from_secs(3600)));
    queue.settle(lease, Outcome::Failed(failure)).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_low_priority_requests_does_not_delay_an_urgent_one() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.request_many(500, "select 1").await;
    let queue = world.queue("one");
    for _ in 0..3 {
        queue.cycle(ONE_EXPORT, Scan::FromCursor).await.unwrap();
    }
    let urgent = world.request_with("select 1", &[], "priority => 4::smallint").await;
    assert_eq!(
        queue.cycle(ONE_EXPORT, Scan::FromCursor).await.unwrap().leases[0].export_id().unwrap(),
        urgent,
        "the very next claim, whichever look it is"
    );
}

#[tokio::test]
async fn requests_that_fail_again_and_again_go_behind_those_that_wait() {
    let world = World::new().await;
    let failing = world.request_many(12, "select 1").await;
    let queue = world.queue("one");
    for round in 1..=3 {
        // All of the flood is due again, and then somebody asks for something that works.
        world.let_back_offs_end().await;
        let good = world.request("select 1", &[]).await;
        let (mut turns, mut scan) = (0, Scan::FromCursor);
        loop {
            let Some(lease) = queue.cycle(ONE_EXPORT, std::mem::replace(&mut scan, Scan::FromCursor)).await.unwrap().leases.pop() else {
                scan = Scan::Full;
                continue;
            };
            if lease.export_id().unwrap() == good {
                let manifest = world.made_by(&lease);
                queue.settle(lease, Outcome::Exported(manifest)).await.unwrap();
                break;
            }
            turns += 1;
            fail(&queue, lease, FailureClass::SourceUnavailable).await;
        }
        assert!(turns <= failing.len(), "round {round}: {turns} turns of the flood came first, some of them twice");
    }
}

#[tokio::test]
async fn fifty_mails_to_a_domain_that_throttles_do_not_hold_up_another_mail() {
    let world = World::new().await;
    let recipients: Vec<String> = (0..50).map(|number| format!("r{number}@slow.example")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let queue = world.queue("one");
    let finish = async |recipients: &[&str]| -> Uuid {
        let id = world.request("select 1", recipients).await;
        let lease = queue.cycle(ONE_EXPORT, Scan::Full).await.unwrap().leases.pop().unwrap();
        let manifest = world.made_by(&lease);
        queue.settle(lease, Outcome::Exported(manifest)).await.unwrap();
        id
    };
    let slow = finish(&recipients).await;
    let quick = finish(&["ann@example.com"]).await;
    let mut throttled = 0;
    let lease = loop {
        let mut leases = queue.cycle(FreeSlots { exports: 0, messages: 8 }, Scan::FromCursor).await.unwrap().leases;
        let found = leases.iter().position(|lease| lease.export_id().unwrap() == quick).map(|at| leases.remove(at));
        for lease in leases {
            assert_eq!(lease.export_id().unwrap(), slow);
            throttled += 1;
            fail(&queue, lease, FailureClass::MailThrottled).await;
        }
        if let Some(lease) = found {
            break lease;
        }
    };
    assert!(throttled <= 50, "each of the fifty had one turn at most");
    queue.settle(lease, exportbox::job::StopReason::Shutdown.into()).await.unwrap();
}

#[tokio::test]
async fn a_kind_on_hold_does_not_block_the_other() {
    let world = World::new().await;
    let lease = world.claimed("one", &["ann@example.com"]).await;
    let manifest = world.made_by(&lease);
    let queue = world.queue("one");
    queue.settle(lease, Outcome::Exported(manifest)).await.unwrap();
    world.request_many(100, "select 1").await;
    world.hold("export", "store_config", "why", "null").await;
    let leases = queue.cycle(FreeSlots { exports: 4, messages: 4 }, Scan::FromCursor).await.unwrap().leases;
    assert_eq!(leases.iter().map(|lease| lease.kind()).collect::<Vec<_>>(), [Kind::Message]);
    for lease in leases {
        queue.settle(lease, exportbox::job::StopReason::Shutdown.into()).await.unwrap();
    }
    world.lift_holds().await;
    let leases = queue.cycle(FreeSlots { exports: 4, messages: 0 }, Scan::Full).await.unwrap().leases;
    assert_eq!(leases.len(), 4, "what was held is taken up again");
    for lease in leases {
        queue.settle(lease, exportbox::job::StopReason::Shutdown.into()).await.unwrap();
    }
}

#[tokio::test]
async fn requests_that_came_too_late_do_not_delay_one_that_is_in_time() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.request_many(250, "select 1").await;
    world.set_jobs("not_after = now() - interval '1 second'", "true").await;
    let in_time = world.request("select 1", &[]).await;
    let cycle = world.queue("one").cycle(ONE_EXPORT, Scan::Full).await.unwrap();
    assert_eq!((cycle.expired, cycle.leases.len()), (100, 1), "expired a hundred at a time");
    assert_eq!(cycle.leases[0].export_id().unwrap(), in_time);
}

#[tokio::test]
async fn lost_leases_that_cannot_be_reaped_now_do_not_hide_the_others() {
    let world = World::new().await;
    world.request_many(130, "select 1").await;
    assert_eq!(world.claim("lost", 130, 0).await.len(), 130);
    world.let_leases_lapse().await;
    hold_jobs(&world.admin, "true order by id limit 110").await;
    assert_eq!(world.reap().await.len(), 20, "those behind a hundred and ten that somebody has locked");
    world.sql("commit").await;
    assert_eq!([world.reap().await.len(), world.reap().await.len(), world.reap().await.len()], [100, 10, 0]);
}

#[tokio::test]
async fn a_reap_that_somebody_holds_up_keeps_nobody_from_claiming() {
    let mut world = World::new().await;
    world.settings.policy.lease = Duration::from_secs(4);
    world.may_leave_running = true;
    let lost = world.claimed("lost", &[]).await;
    world.let_leases_lapse().await;
    world.request("select 1 as one", &[]).await;
    let somebody = world.another_admin().await;
    hold_attempt(&somebody, &lost).await;
    let cycle = world.queue("one").cycle(FreeSlots { exports: 1, messages: 0 }, Scan::Full).await.unwrap();
    assert_eq!((cycle.reaped.len(), cycle.leases.len()), (0, 1));
    somebody.batch_execute("rollback").await.unwrap();
    assert_eq!(world.reap().await.len(), 1);
}
