//! Claims: disjoint, in order, no more than there is room for, and nothing before its time or after it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exportbox::job::Kind;
use exportbox::queue::{FreeSlots, Scan};

use crate::harness::World;
use crate::harness::rows::{ATTEMPTS, JOBS, hold_jobs};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_workers_claim_every_job_once() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let requested: HashSet<_> = world.request_many(400, "select 1").await.into_iter().collect();
    let taken = Arc::new(AtomicUsize::new(0));
    let workers = (0..16).map(|number| {
        let (queue, taken) = (world.queue(&format!("worker {number}")), taken.clone());
        tokio::spawn(async move {
            let mut mine = Vec::new();
            // An empty claim may only mean that the others hold what is left.
            while taken.load(Ordering::SeqCst) < 400 {
                let leases = queue.cycle(FreeSlots { exports: 7, messages: 7 }, Scan::FromCursor).await.unwrap().leases;
                assert!(leases.len() <= 7, "more than there is room for");
                taken.fetch_add(leases.len(), Ordering::SeqCst);
                mine.extend(leases);
            }
            mine
        })
    });
    let mut leases = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        leases.extend(worker.await.unwrap());
    }
    assert_eq!(leases.len(), 400, "a job was claimed twice");
    assert_eq!(leases.iter().map(|lease| lease.export_id().unwrap()).collect::<HashSet<_>>(), requested);
    let tokens: HashSet<_> = leases.iter().map(|lease| lease.token()).collect();
    assert_eq!(tokens.len(), 400);
    let opened = format!(
        "select count(*) from {ATTEMPTS} join {JOBS} using (lease_token)
        where attempt.job_id = job.id and attempt.number = 1 and attempt.outcome is null and attempt.worker = job.worker"
    );
    assert_eq!(world.count(&opened).await, 400, "each claim opens one attempt");
}

#[tokio::test]
async fn jobs_are_claimed_by_priority_then_instant_then_id() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let mut ids = Vec::new();
    for (priority, hour) in [(5, 9), (5, 8), (1, 11), (9, 7), (5, 9)] {
        let more = format!("priority => {priority}::smallint, run_at => '2026-01-01 {hour}:00Z'");
        ids.push(world.request_with("select 1", &[], &more).await);
    }
    let mut order = Vec::new();
    for room in [2, 1, 2] {
        order.extend(world.claim("one", room, 0).await.into_iter().map(|lease| lease.export_id().unwrap()));
    }
    assert_eq!(order, [ids[2], ids[1], ids[0], ids[4], ids[3]]);
}

#[tokio::test]
async fn a_job_is_not_claimed_before_its_instant() {
    let world = World::new().await;
    let id = world.request_with("select 1", &[], "run_at => now() + interval '1 hour'").await;
    assert!(world.claim("one", 4, 4).await.is_empty());
    world.let_back_offs_end().await;
    let (tally, _) = world.drain().await;
    assert_eq!((tally.exported, world.state(id).await.as_str()), (1, "completed"));
}

#[tokio::test]
async fn a_request_that_was_not_started_by_its_not_after_is_cancelled_and_is_no_failure() {
    let world = World::new().await;
    let id = world.request_with("select 1", &["ann@example.com"], "not_after => now() + interval '1 hour'").await;
    world.set_jobs("not_after = now() - interval '1 second'", "true").await;
    let (tally, left) = world.drain().await;
    assert_eq!((tally.expired, tally.claimed, tally.dead, tally.cancelled, left.due), (1, 0, 0, 0, 0));
    let export = world.export(id).await;
    assert_eq!((export["state"].as_str(), export["error_class"].as_str()), (Some("cancelled"), Some("expired")));
    assert_eq!(export["started_at"], serde_json::Value::Null);
    assert_eq!(world.history(id).await, ["expired"]);
    assert!(world.mails().is_empty());
}

#[tokio::test]
async fn a_claim_takes_no_more_than_there_is_room_for() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.request_many(5, "select 1").await;
    assert_eq!(world.claim("one", 0, 9).await.len(), 0);
    assert_eq!(world.claim("one", 3, 0).await.len(), 3);
    assert_eq!(world.claim("one", 3, 0).await.len(), 2);
}

#[tokio::test]
async fn exports_and_mails_have_room_of_their_own() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    for _ in 0..2 {
        let lease = world.claimed("one", &["ann@example.com", "bob@example.com"]).await;
        let manifest = world.made_by(&lease);
        world.queue("one").settle(lease, exportbox::job::Outcome::Exported(manifest)).await.unwrap();
    }
    world.request_many(3, "select 1").await;
    let kinds = |leases: Vec<exportbox::queue::Lease>| {
        let of = |kind| leases.iter().filter(|lease| lease.kind() == kind).count();
        (of(Kind::Export), of(Kind::Message))
    };
    assert_eq!(kinds(world.claim("one", 0, 1).await), (0, 1));
    assert_eq!(kinds(world.claim("one", 1, 0).await), (1, 0));
    assert_eq!(kinds(world.claim("one", 9, 9).await), (2, 3));
}

#[tokio::test]
async fn a_held_kind_gets_nothing_but_one_probe_at_its_instant() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.request_many(3, "select 1").await;
    world.hold("export", "store_config", "why", "now() + interval '1 hour'").await;
    assert!(world.claim("one", 4, 4).await.is_empty());
    world.set_probes("now() - interval '1 second'").await;
    let probes = world.claim("one", 4, 4).await;
    assert!(probes.len() == 1 && probes[0].is_probe());
    assert_eq!(world.claim("two", 4, 4).await.len(), 0, "the next probe has an instant of its own");
    world.set_probes("null").await;
    assert_eq!(world.claim("two", 4, 4).await.len(), 0, "what a person holds is not probed");
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_stepped_over_without_waiting() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let ids = world.request_many(2, "select 1").await;
    hold_jobs(&world.admin, &format!("export_id = '{}'", ids[0])).await;
    let leases = world.claim("one", 4, 0).await;
    assert_eq!(leases.iter().map(|lease| lease.export_id().unwrap()).collect::<Vec<_>>(), [ids[1]]);
    world.sql("commit").await;
    assert_eq!(world.claim("one", 4, 0).await.len(), 1);
}

#[tokio::test]
async fn the_deadline_is_the_requests_timeout_or_the_setting_and_the_daemons_own_is_earlier() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.settings.policy.export_timeout = Duration::from_secs(1000);
    world.request_with("select 1", &[], "timeout => interval '90 seconds'").await;
    world.request("select 1", &[]).await;
    for seconds in [90u32, 1000] {
        let lease = world.claim("one", 1, 0).await.pop().unwrap();
        let claimed = format!(
            "select exists (select from {JOBS} join {ATTEMPTS} using (lease_token)
            where job.id = $1 and deadline_at = attempt.started_at + $2::bigint * interval '1 second'
            and lease_expires_at = attempt.started_at + interval '90 seconds')"
        );
        assert!(world.row(&claimed, &[&lease.job_id(), &i64::from(seconds)]).await.get::<_, bool>(0));
        let left: i64 = world
            .row(
                "select (extract(epoch from deadline_at - clock_timestamp()) * 1e6)::bigint from exportbox.jobs where id = $1",
                &[&lease.job_id()],
            )
            .await
            .get(0);
        let own = lease.deadline().saturating_duration_since(Instant::now());
        assert!(own < Duration::from_micros(left.unsigned_abs()), "the daemon stops before the database gives up on it");
        assert!(own > Duration::from_secs(u64::from(seconds) - 30));
    }
}

/// Seconds until something is due for this room.
async fn next_due(world: &World, exports: usize, deliveries: usize) -> Option<u64> {
    world
        .queue("one")
        .next_due(FreeSlots { exports, messages: deliveries }, None)
        .await
        .unwrap()
        .due_in
        .map(|due| due.as_secs_f64().round() as u64)
}

#[tokio::test]
async fn a_worker_is_told_the_next_instant_at_which_there_is_something_to_do() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    assert_eq!(next_due(&world, 1, 1).await, None, "nothing is ahead");
    world.request_with("select 1", &[], "run_at => now() + interval '4000 seconds'").await;
    assert_eq!(next_due(&world, 1, 1).await, Some(4000));
    assert_eq!(next_due(&world, 0, 1).await, None, "a job that cannot be taken is nobody's next instant");
    world.request_with("select 1", &[], "run_at => now() + interval '3000 seconds', priority => 9::smallint").await;
    assert_eq!(next_due(&world, 1, 0).await, Some(3000), "the levels are compared, not looked through in turn");
    world.request_with("select 1", &[], "run_at => now() + interval '5000 seconds', not_after => now() + interval '6000 seconds'").await;
    world.set_jobs("not_after = now() + interval '2000 seconds'", "not_after is not null").await;
    assert_eq!(next_due(&world, 1, 0).await, Some(2000), "an expiry");
    world.set_jobs("run_at = now()", "not_after is null and priority = 9").await;
    assert_eq!(next_due(&world, 1, 0).await, Some(0));
    world.claim("one", 1, 0).await;
    assert_eq!(next_due(&world, 1, 0).await, Some(90), "the end of a lease");
    world.set_jobs("deadline_at = now() - interval '20 seconds', lease_expires_at = now() + interval '1 hour'", "state = 'running'").await;
    assert_eq!(next_due(&world, 1, 0).await, Some(70), "a deadline and the time that a live worker has to say so");
    world.hold("export", "store_config", "why", "now() + interval '10 seconds'").await;
    assert_eq!(next_due(&world, 1, 0).await, Some(10), "a probe");
    assert_eq!(next_due(&world, 0, 1).await, Some(70), "which takes a free slot of its kind");
}
