//! A request that kills its worker dies of it, with a readable reason; those beside it do not.

use std::collections::HashSet;

use exportbox::queue::{FreeSlots, Scan};

use crate::harness::GATED;
use crate::harness::World;
use crate::harness::process::{signal, stdout};

#[tokio::test]
async fn a_request_whose_worker_is_killed_three_times_is_dead_and_says_why() {
    let world = World::new().await;
    let gate = world.gate().await;
    let poison = world.request(GATED, &["ann@example.com"]).await;
    for crash in 1..=3 {
        let mut daemon = world.spawn(&["run"]);
        world.until_at_gate(poison).await;
        signal(&daemon, "KILL").await;
        daemon.wait().await.unwrap();
        world.until_query_is_gone(poison).await;
        world.let_leases_lapse().await;
        assert_eq!(world.reap().await.len(), 1);
        assert_eq!(world.count("select crashes::bigint from exportbox.jobs").await, crash);
        world.let_back_offs_end().await;
    }
    gate.open().await;
    let export = world.export(poison).await;
    assert_eq!((export["state"].as_str(), export["error_class"].as_str()), (Some("dead"), Some("crashed")));
    let shown = stdout(&world.run(&["show", &poison.to_string()]).await);
    assert!(shown.contains("Lost its worker 3 times; it may be what kills them. See why they ended"), "{shown}");
    assert!(stdout(&world.run(&["status"]).await).contains("Lost its worker 3 times"));
    let (tally, left) = world.drain().await;
    assert_eq!((tally.claimed, left.due), (0, 0), "it kills nobody any more");
    assert!(world.mails().is_empty());
}

#[tokio::test]
async fn a_request_that_kills_its_process_takes_no_bystander_to_death_with_it() {
    let world = World::new().await;
    let poison = world.request_with("select 1", &[], "priority => 0::smallint").await;
    let bystanders: HashSet<_> = world.request_many(9, "select 1").await.into_iter().collect();
    // As long as the poison lives: a process takes all ten, if it may, and dies of it with all that it holds.
    for process in 1.. {
        let queue = world.queue(&format!("process {process}"));
        let room = FreeSlots { exports: 10, messages: 0 };
        let mut held: Vec<_> =
            queue.cycle(room, Scan::FromCursor).await.unwrap().leases.into_iter().map(|lease| lease.export_id().unwrap()).collect();
        held.extend(queue.cycle(room, Scan::Full).await.unwrap().leases.into_iter().map(|lease| lease.export_id().unwrap()));
        assert!(held.contains(&poison));
        if process == 3 {
            assert_eq!(held, [poison], "all ten have crashed twice, and are apart now");
        }
        world.let_leases_lapse().await;
        world.reap().await;
        world.let_back_offs_end().await;
        if world.state(poison).await == "dead" {
            assert_eq!(process, 3);
            break;
        }
    }
    let (tally, _) = world.drain().await;
    assert_eq!((tally.exported, tally.dead), (9, 0), "every bystander is done, one after the other");
    for id in bystanders {
        assert_eq!(world.state(id).await, "completed");
    }
}

#[tokio::test]
async fn a_job_on_its_last_chance_keeps_no_slot_from_those_that_never_crashed() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let suspects = world.request_many(2, "select 1").await;
    world.set_jobs("crashes = 2", "true").await;
    let innocent = world.request_many(2, "select 1").await;
    let queue = world.queue("one");
    let mut claimed = Vec::new();
    for _ in 0..2 {
        claimed.extend(queue.cycle(FreeSlots { exports: 3, messages: 0 }, Scan::Full).await.unwrap().leases);
    }
    let ids: Vec<_> = claimed.iter().map(|lease| lease.export_id().unwrap()).collect();
    assert_eq!(ids, [suspects[0], innocent[0], innocent[1]]);
    let first = claimed.remove(0);
    queue.settle(first, exportbox::job::StopReason::Shutdown.into()).await.unwrap();
    world.set_jobs("run_at = now() + interval '1 hour'", &format!("export_id = '{}'", suspects[0])).await;
    let next = queue.cycle(FreeSlots { exports: 1, messages: 0 }, Scan::Full).await.unwrap().leases;
    assert_eq!(next[0].export_id().unwrap(), suspects[1], "the next has its turn when the first is over");
}
