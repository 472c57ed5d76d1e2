//! Pauses: what is paused is left alone, everything else goes on, and what is resumed starts at once.

use std::collections::BTreeSet;
use std::time::Duration;

use exportbox::job::{Outcome, StopReason};
use exportbox::queue::{FreeSlots, Scan};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::process::{code, json as said, stderr, stdout};
use crate::harness::requests::refusal;
use crate::harness::rows::{HOLDS, lock_holds};
use crate::harness::{GATED, World};

const ROOM: FreeSlots = FreeSlots { exports: 20, messages: 20 };

/// An export and a mail of each: an ad-hoc query, `near` and `far`. All go through the door and through the daemon's own statements.
async fn one_of_each(world: &World) {
    world.two_reports().await;
    for round in ["mailed", "waits"] {
        world.request("select 1 as one", &["ann@example.com"]).await;
        for report in ["near", "far"] {
            world.request_report(report, json!({}), ", recipients => '{ann@example.com}'").await;
        }
        if round == "mailed" {
            for lease in world.claim("first", 3, 0).await {
                let manifest = world.made_by(&lease);
                world.queue("first").settle(lease, Outcome::Exported(manifest)).await.unwrap();
            }
        }
    }
}

/// What a claim with plenty of room takes: `export near`, and so on. Given back at once.
async fn claimable(world: &World) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let queue = world.queue("looks");
    for lease in queue.cycle(ROOM, Scan::FromCursor).await.unwrap().leases {
        let report = "select coalesce(report, 'ad hoc') from exportbox.outbox where id = $1";
        let report: String = world.row(report, &[&lease.export_id().unwrap()]).await.get(0);
        found.insert(format!("{} {report}", lease.kind().shown()));
        queue.settle(lease, StopReason::Shutdown.into()).await.unwrap();
    }
    found
}

#[tokio::test]
async fn nothing_of_what_is_paused_is_claimed_and_everything_else_is() {
    let world = World::new().await;
    one_of_each(&world).await;
    let all = ["delivery ad hoc", "delivery far", "delivery near", "export ad hoc", "export far", "export near"];
    let left_alone: [(&str, &[&str]); 7] = [
        ("all", &all),
        ("exports", &["export ad hoc", "export far", "export near"]),
        ("deliveries", &["delivery ad hoc", "delivery far", "delivery near"]),
        ("report:near", &["export near", "delivery near"]),
        ("report:far", &["export far", "delivery far"]),
        ("source:replica", &["export far"]),
        ("source:default", &["export ad hoc", "export near"]),
    ];
    let everything: BTreeSet<String> = all.map(String::from).into();
    assert_eq!(claimable(&world).await, everything);
    for (scope, kept) in left_alone {
        world.pause(scope).await;
        let expected: BTreeSet<String> = everything.iter().filter(|job| !kept.contains(&job.as_str())).cloned().collect();
        assert_eq!(claimable(&world).await, expected, "{scope}");
        let paused = "select paused || ' of ' || (paused + due) from exportbox.health";
        assert_eq!(world.text(paused).await, format!("{} of 6", kept.len()), "{scope}");
        world.resume(scope).await;
    }
    world.pause("report:near").await;
    world.pause("source:replica").await;
    let expected = ["delivery ad hoc", "delivery far", "export ad hoc"].map(String::from).into();
    assert_eq!(claimable(&world).await, expected, "each by itself");
    world.resume("report:near").await;
    world.resume("source:replica").await;
    assert_eq!(claimable(&world).await, everything);
}

#[tokio::test]
async fn a_new_link_of_a_paused_report_waits_with_the_rest() {
    let world = World::new().await;
    world.two_reports().await;
    let id = world.request_report("near", json!({}), ", recipients => '{ann@example.com}'").await;
    world.drain().await;
    world.pause("report:near").await;
    assert_eq!(world.count(&format!("select exportbox.relink('{id}')::bigint")).await, 1);
    let (tally, left) = world.drain().await;
    assert_eq!((tally.mailed, left.paused), (0, 1));
    world.resume("report:near").await;
    assert_eq!(world.drain().await.0.mailed, 1);
}

#[tokio::test]
async fn what_runs_when_it_is_paused_goes_on_and_what_comes_back_waits() {
    let world = World::new().await;
    let lease = world.claimed("one", &[]).await;
    let given_back = world.claimed("one", &[]).await;
    world.pause("all").await;
    let manifest = world.made_by(&lease);
    let done = exportbox::queue::Settled::Done(exportbox::job::State::Completed);
    assert_eq!(world.queue("one").settle(lease, Outcome::Exported(manifest)).await, Ok(done));
    world.queue("one").settle(given_back, StopReason::Shutdown.into()).await.unwrap();
    assert!(world.claim("two", 4, 4).await.is_empty());
    world.resume("all").await;
    let lease = world.claim("two", 4, 4).await.pop().unwrap();
    world.queue("two").settle(lease, StopReason::Shutdown.into()).await.unwrap();
}

#[tokio::test]
async fn nobody_wakes_for_what_is_paused_and_a_request_still_expires() {
    let world = World::new().await;
    world.two_reports().await;
    let queue = world.queue("one");
    world.request_report("near", json!({}), "").await;
    world.pause("report:near").await;
    assert_eq!(queue.next_due(ROOM, None).await.map(|next| next.due_in), Ok(None));
    world.request("select 1", &[]).await;
    assert_eq!(queue.next_due(ROOM, None).await.map(|next| next.due_in), Ok(Some(Duration::ZERO)), "the job behind it is due");
    world.pause("exports").await;
    assert_eq!(queue.next_due(ROOM, None).await.map(|next| next.due_in), Ok(None), "all of its kind is paused");
    world.hold("export", "store_config", "why", "now() - interval '1 hour'").await;
    assert_eq!(queue.next_due(ROOM, None).await.map(|next| next.due_in), Ok(None), "what is paused is not probed either");
    assert!(world.claim("two", 4, 4).await.is_empty());
    assert_eq!(world.count(&format!("select count(*) from {HOLDS} where probe_at < now()")).await, 1, "the probe is not used up");
    world.set_jobs("not_after = now() - interval '1 second'", "report = 'near'").await;
    assert_eq!(world.queue("two").cycle(ROOM, Scan::Full).await.unwrap().expired, 1);
}

#[tokio::test]
async fn a_drain_leaves_what_is_paused_and_says_how_much_but_ends_lost_leases() {
    let world = World::new().await;
    world.claimed("gone", &[]).await;
    world.let_leases_lapse().await;
    world.request_many(2, "select 1").await;
    world.pause("all").await;
    let (tally, left) = world.drain().await;
    assert_eq!((tally.claimed, tally.reaped, left.due, left.paused, left.waiting), (0, 1, 0, 3, 0));
    let output = world.run(&["drain"]).await;
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains("3 paused"), "{}", stdout(&output));
}

#[tokio::test]
async fn resuming_wakes_a_worker_that_sleeps() {
    let mut world = World::new().await;
    world.settings.work.poll = Duration::from_secs(600);
    world.two_reports().await;
    let running = world.start().await;
    world.until_asleep(&running.worker).await;
    for scope in ["all", "exports", "report:near", "source:default"] {
        world.pause(scope).await;
        let id = world.request_report("near", json!({}), "").await;
        world.until_asleep(&running.worker).await;
        assert_eq!(world.state(id).await, "pending", "{scope}");
        world.resume(scope).await;
        world.until_state(id, "completed").await;
    }
    running.stop().await;
}

#[tokio::test]
async fn what_a_pause_kept_behind_the_marks_of_a_process_is_looked_for_once_it_is_resumed() {
    let world = World::new().await;
    world.two_reports().await;
    let queue = world.queue("one");
    for _ in 0..2 {
        // A statement has its name from the second time on; to be read anew it would have to wait as well.
        queue.cycle(ROOM, Scan::Full).await.unwrap();
    }
    world.request_report("near", json!({}), "").await;
    world.request("select 1", &[]).await;
    world.set_jobs("run_at = run_at - interval '1 minute'", "true").await;
    world.pause("report:near").await;
    // A look that takes long, so that this process does not begin at the start again by itself for a while.
    let blocker = world.another_admin().await;
    lock_holds(&blocker).await;
    let (first, ()) = tokio::join!(queue.cycle(ROOM, Scan::Full), async {
        let waits = "exists (select from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'exportbox one'
            and datname = current_database() and clock_timestamp() - query_start > interval '500 ms')";
        world.until(waits).await;
        blocker.batch_execute("commit").await.unwrap();
    });
    let mut leases = first.unwrap().leases;
    assert_eq!(leases.len(), 1, "the one that is not paused");
    let second = queue.cycle(ROOM, Scan::FromCursor).await.unwrap();
    assert!(second.leases.is_empty() && second.full_scan_in.is_some_and(|soon| soon > Duration::from_secs(2)), "{second:?}");
    world.resume("report:near").await;
    let third = queue.cycle(ROOM, Scan::FromCursor).await.unwrap();
    assert_eq!((third.leases.len(), third.full_scan_in), (0, Some(Duration::ZERO)), "it hears of it");
    leases.extend(queue.cycle(ROOM, Scan::FromCursor).await.unwrap().leases);
    assert_eq!(leases.len(), 2);
    for lease in leases {
        queue.settle(lease, StopReason::Shutdown.into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_claim_looks_nothing_up_for_a_job_when_nothing_is_paused() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.two_reports().await;
    let plan = crate::harness::statements::claim().plan(&world.admin, "").await;
    let text = plan.to_string();
    assert!(!text.contains("\"outbox\"") && !text.contains("is_startable") && !text.contains("is_open"), "{plan:#}");
}

#[tokio::test]
async fn pausing_and_resuming_is_in_the_audit_and_what_is_not_there_is_refused() {
    let world = World::new().await;
    world.two_reports().await;
    let operator = world.operator().await;
    for act in ["pause('report:far', 'ticket 7')", "pause('report:far', 'again')", "resume('report:far')", "resume('report:far')"] {
        operator.batch_execute(&format!("select exportbox.{act}")).await.unwrap();
    }
    let lines = "select string_agg(what || ' ' || detail || ' by ' || split_part(actor, '_', 1), '; ' order by at)
        from exportbox.audit where what in ('paused', 'resumed')";
    assert_eq!(world.text(lines).await, "paused report:far: ticket 7 by operator; resumed report:far by operator");
    for (act, word) in [
        ("pause('everything')", "nothing that can be paused"),
        ("pause(null)", "nothing that can be paused"),
        ("pause('report:nobody')", "no report"),
        ("pause('source:elsewhere')", "no report runs on"),
        ("pause('all', 'ask ann@example.com')", "address"),
    ] {
        let refused = refusal(&operator, &format!("select exportbox.{act}")).await;
        assert_eq!((refused.code.as_str(), refused.message.contains(word)), ("EB065", true), "{refused:?}");
    }
    assert_eq!(refusal(&world.app().await, "select exportbox.pause('all')").await.code, "42501");
}

#[tokio::test]
async fn a_priority_moves_what_waits_and_nothing_else() {
    let world = World::new().await;
    let operator = world.operator().await;
    let ids = world.request_many(3, "select 1").await;
    let set = async |id: Uuid, priority: i32| -> i32 {
        operator.query_one("select exportbox.set_priority($1, $2)", &[&id, &priority]).await.unwrap().get(0)
    };
    let lease = world.claim("one", 1, 0).await.pop().unwrap();
    assert_eq!((lease.export_id().unwrap(), set(ids[0], 0).await), (ids[0], 0), "it runs");
    assert_eq!((set(ids[2], 1).await, set(ids[2], 1).await), (1, 0));
    let next = world.claim("one", 1, 0).await.pop().unwrap();
    assert_eq!(next.export_id().unwrap(), ids[2]);
    assert_eq!((world.history(ids[0]).await, world.history(ids[2]).await), (vec![], vec!["priority_set".to_string()]));
    let out_of_range = format!("select exportbox.set_priority('{}', 10)", ids[1]);
    assert_eq!(refusal(&operator, &out_of_range).await.code, "EB031");
    let stranger = format!("select exportbox.set_priority('{}', 1)", Uuid::new_v4());
    assert_eq!(refusal(&operator, &stranger).await.code, "EB061");
    assert_eq!(refusal(&world.app().await, &out_of_range).await.code, "42501", "requesters do not overtake each other");
    for lease in [lease, next] {
        world.queue("one").settle(lease, StopReason::Shutdown.into()).await.unwrap();
    }
}

#[tokio::test]
async fn the_commands_pause_list_resume_and_set_priorities() {
    let world = World::new().await;
    let id = world.request("select 1 as one", &[]).await.to_string();
    assert_eq!(stdout(&world.run(&["pause"]).await), "nothing is paused\n");
    let paused = world.run(&["pause", "exports", "--reason", "ticket 7"]).await;
    assert_eq!((code(&paused), stdout(&paused).contains("exports is paused; what runs goes on")), (0, true), "{}", stderr(&paused));
    assert_eq!(said(&world.run(&["pause", "exports", "--json"]).await), json!({"scope": "exports", "paused": true, "is_new": false}));
    let listed = said(&world.run(&["pause", "--json"]).await);
    let only: &Value = &listed["pauses"][0];
    assert_eq!((&only["scope"], &only["reason"], &only["paused_by"]), (&json!("exports"), &json!("ticket 7"), &json!("exportbox_daemon")));
    let table = stdout(&world.run(&["pause"]).await);
    assert!(table.starts_with("PAUSED") && table.contains("ticket 7"), "{table}");
    let status = stdout(&world.run(&["status"]).await);
    assert!(status.contains("PAUSED  exports by exportbox_daemon since") && status.contains("ticket 7; 1 job waiting"), "{status}");
    let moved = world.run(&["priority", &id, "2"]).await;
    assert_eq!((code(&moved), stdout(&moved)), (0, format!("{id}: 1 job moved to priority 2\n")));
    assert_eq!(said(&world.run(&["priority", &id, "2", "--json"]).await), json!({"id": id, "priority": 2, "jobs": 0}));
    assert_eq!(code(&world.run(&["priority", &id, "2"]).await), 1);
    assert_eq!(code(&world.run(&["priority", &id, "10"]).await), 2);
    let mistyped = world.run(&["resume", "export"]).await;
    assert_eq!((code(&mistyped), stdout(&mistyped)), (1, "export was not paused\nstill paused: exports\n".into()));
    let resumed = world.run(&["resume", "exports", "--json"]).await;
    assert_eq!((code(&resumed), said(&resumed)), (0, json!({"scope": "exports", "resumed": true, "pauses": []})));
    let refused = world.run(&["pause", "report:nobody"]).await;
    assert_eq!((code(&refused), stderr(&refused).contains("no report")), (1, true), "{}", stderr(&refused));
}

#[tokio::test]
async fn exports_go_on_while_mails_are_paused_and_the_mails_come_afterwards() {
    let mut world = World::new().await;
    world.settings.work.poll = Duration::from_secs(600);
    world.pause("deliveries").await;
    let running = world.start().await;
    world.until_asleep(&running.worker).await;
    let gate = world.gate().await;
    let id = world.request(GATED, &["ann@example.com"]).await;
    world.until_at_gate(id).await;
    gate.open().await;
    world.until_state(id, "delivering").await;
    world.until_asleep(&running.worker).await;
    assert!(world.mails().is_empty());
    world.resume("deliveries").await;
    world.until_state(id, "completed").await;
    assert_eq!((running.stop().await.mailed, world.count("select count(*) from exportbox.jobs where kind = 'delivery'").await), (1, 1));
}
