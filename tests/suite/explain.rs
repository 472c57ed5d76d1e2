//! Why a job waits: what `exportbox.explain` says is due is what the claim takes, and each reason has its words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use exportbox::queue::{FreeSlots, Scan};
use fastrand::Rng;
use serde_json::Value;
use uuid::Uuid;

use crate::harness::process::{code, json, stderr, stdout};
use crate::harness::requests::refusal;
use crate::harness::{World, history};

/// What stands for "a claim with a free slot takes it now".
const DUE: [&str; 3] = ["no_worker", "behind", "due"];
/// What stands for the opposite, of a job that waits.
const NOT_DUE: [&str; 8] = ["too_late", "paused", "on_hold", "backing_off", "not_before", "budget_too_short", "source_full", "goes_alone"];

/// A world of its own for each seed: jobs, pauses, holds, caps and clocks as they come.
struct Case {
    sql: String,
    source_slots: Option<i32>,
    time_left: Option<Duration>,
}

fn pick<'a>(rng: &mut Rng, among: &[&'a str]) -> &'a str {
    among[rng.usize(..among.len())]
}

fn case(seed: u64) -> Case {
    let rng = &mut Rng::with_seed(seed);
    let mut sql = String::from(history::NOTHING);
    let job = |sql: &mut String, columns: &str, values: &str| {
        let id = Uuid::new_v4();
        writeln!(sql, "insert into exportbox.outbox (id, query, requested_by) values ('{id}', 'select 1', 'app');").unwrap();
        sql.push_str(&history::job(id, columns, values));
    };
    for _ in 0..rng.usize(1..12) {
        let (kind, report) = (pick(rng, &["export", "export", "message"]), pick(rng, &["null", "'near'", "'far'"]));
        let source = if kind == "export" && report == "'far'" { "'replica'" } else { "null" };
        let at = pick(rng, &["-1 hour", "-1 hour", "-2 hours", "-1 minute", "1 hour"]);
        let not_after = pick(rng, &["null", "null", "now() - interval '5 minutes'", "now() + interval '1 hour'"]);
        let leases = rng.i32(0..3);
        let crashes = if leases == 2 { pick(rng, &["0", "2", "2"]) } else { "0" };
        let failed = if leases > 0 && rng.bool() { "'timeout', 'Ran past its deadline.'" } else { "null, null" };
        let started = if leases > 0 { "now() - interval '3 hours'" } else { "null" };
        job(
            &mut sql,
            "kind, report, source, run_at, not_after, priority, leases, crashes, started_at, error_class, error",
            &format!(
                "'{kind}', {report}, {source}, now() + interval '{at}', {not_after}, {}, {leases}, {crashes}, {started}, {failed}",
                pick(rng, &["1", "5"])
            ),
        );
    }
    for _ in 0..rng.usize(0..3) {
        let lease = "gen_random_uuid(), 'other', now() + interval '1 hour', now() + interval '1 hour'";
        job(&mut sql, "kind, state, lease_token, worker, lease_expires_at, deadline_at", &format!("'export', 'running', {lease}"));
    }
    for scope in ["all", "exports", "deliveries", "report:near", "report:far", "source:replica", "source:default"] {
        if rng.u32(..if scope == "all" { 30 } else { 10 }) == 0 {
            writeln!(sql, "insert into exportbox.pause (scope) values ('{scope}');").unwrap();
        }
    }
    for kind in ["export", "message"] {
        if rng.u32(..4) == 0 {
            let probe = pick(rng, &["null", "now() - interval '1 minute'", "now() + interval '1 hour'"]);
            sql.push_str(&history::hold(kind, probe));
        }
    }
    // near has taken ten minutes of late.
    if rng.u32(..4) > 0 {
        let id = Uuid::new_v4();
        writeln!(sql, "insert into exportbox.outbox (id, report, requested_by) values ('{id}', 'near', 'app');").unwrap();
        sql.push_str(&history::job(id, "kind, state, report, leases, finished_at", "'export', 'completed', 'near', 1, now()"));
        let values = "'w', now() - interval '10 minutes', now(), 'completed'";
        sql.push_str(&history::attempt(id, "worker, started_at, finished_at, outcome", values));
    }
    let source_slots = rng.bool().then(|| rng.i32(1..5));
    let cap = source_slots.map_or("null".into(), |slots| slots.to_string());
    let (mut used_slots, mut time_left) = (source_slots, None);
    match rng.u32(..4) {
        0 => used_slots = None,
        1 => sql.push_str(&history::worker(", source_slots", &format!(", {cap}"))),
        _ => {
            time_left = (rng.u32(..4) > 0).then(|| Duration::from_secs(60 * rng.u64(1..20)));
            let runtime = time_left.map_or("null".into(), |left| format!("interval '{} seconds'", left.as_secs()));
            writeln!(sql, "insert into exportbox.last_drain (ended, claimed, exported, mailed, dead, due_left, max_runtime, source_slots) values ('drained', 0, 0, 0, 0, 0, {runtime}, {cap});").unwrap();
        }
    }
    Case { sql, source_slots: used_slots, time_left }
}

#[tokio::test]
async fn what_explain_calls_due_is_exactly_what_the_claim_takes() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.two_reports().await;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut quiet = 0;
    for seed in 0..150 {
        let case = case(seed);
        world.plant_rows(&case.sql).await;
        let explained = "select e.job_id, e.is_due, e.reason from exportbox.outbox as o cross join lateral exportbox.explain(o.id) as e where e.state = 'pending'";
        let mut due = BTreeSet::new();
        let mut told = String::new();
        for row in world.admin.query(explained, &[]).await.unwrap() {
            let (job, is_due, reason): (Uuid, bool, String) = (row.get(0), row.get(1), row.get::<_, Option<String>>(2).unwrap_or_default());
            let known = if is_due { DUE.contains(&reason.as_str()) } else { NOT_DUE.contains(&reason.as_str()) };
            assert!(known, "seed {seed}: job {job} is due: {is_due}, because {reason:?}\n{}", case.sql);
            if is_due {
                due.insert(job);
            }
            writeln!(told, "{job}: {reason}").unwrap();
            *seen.entry(reason).or_default() += 1;
        }
        world.settings.policy.source_slots = case.source_slots;
        let queue = world.queue(&format!("seed {seed}"));
        let room = FreeSlots { exports: 50, messages: 50 };
        let next = queue.next_due(room, None).await.unwrap();
        let cycle = queue.cycle_within(room, Scan::FromCursor, case.time_left).await.unwrap();
        if next.due_in != Some(Duration::ZERO) {
            let found = (cycle.leases.len(), cycle.expired, cycle.reaped.len(), cycle.schedules.len());
            assert_eq!(found, (0, 0, 0, 0), "seed {seed}: nothing was said to be due\n{told}\n{}", case.sql);
            quiet += 1;
        }
        let claimed = cycle.leases;
        let claimed: BTreeSet<Uuid> = claimed.iter().map(|lease| lease.job_id()).collect();
        assert_eq!(claimed, due, "seed {seed}: claimed, and explained as due\n{told}\n{}", case.sql);
    }
    assert!(quiet > 0, "something was due in every case");
    let unseen: Vec<&str> = DUE.into_iter().chain(NOT_DUE).filter(|reason| !seen.contains_key(*reason)).collect();
    assert!(unseen.is_empty(), "no case came to {unseen:?}: {seen:?}");
}

/// The explanation of the only job of that kind.
async fn explained(world: &World, id: Uuid, kind: &str) -> Value {
    world.row("select to_jsonb(e) from exportbox.explain($1) as e where e.kind = $2", &[&id, &kind]).await.get(0)
}

/// Its reason, after a look at its words.
async fn reason(world: &World, id: Uuid, kind: &str, words: &[&str]) -> String {
    let told = explained(world, id, kind).await;
    let (sentence, todo) = (told["sentence"].as_str().unwrap(), told["what_to_do"].as_str().unwrap());
    for word in words {
        assert!(sentence.contains(word) || todo.contains(word), "{word:?} is missing: {told:#}");
    }
    assert!(sentence.ends_with('.') && !todo.is_empty(), "{told:#}");
    told["reason"].as_str().unwrap().into()
}

#[tokio::test]
async fn a_life_is_told_in_words_from_the_request_to_the_mail() {
    let world = World::new().await;
    let id = world.request_with("select 1 as one", &["ann@example.com", "bob@example.com"], "run_at => now() + interval '1 hour'").await;
    assert_eq!(reason(&world, id, "export", &["not to start before", "UTC"]).await, "not_before");
    assert_eq!(reason(&world, id, "delivery", &["2 mails wait for the export"]).await, "waits_for_export");
    world.let_back_offs_end().await;
    assert_eq!(reason(&world, id, "export", &["no worker has been seen.", "exportbox run"]).await, "no_worker");
    world.drain().await;
    assert_eq!(reason(&world, id, "export", &["Done"]).await, "completed");
    let late = world.request("select 1 as one", &[]).await;
    assert_eq!(reason(&world, late, "export", &["no worker has been seen since", "UTC"]).await, "no_worker");
    world.sql(&history::worker("", "")).await;
    assert_eq!(reason(&world, late, "export", &["next of its kind"]).await, "due");
    let behind = world.request("select 1 as one", &[]).await;
    assert_eq!(reason(&world, behind, "export", &["behind 1 of better priority"]).await, "behind");
    let lease = world.claim("one", 1, 0).await.pop().unwrap();
    assert_eq!(reason(&world, late, "export", &["Worker one runs attempt 1", "lease until", "has until"]).await, "running");
    world.set_source_slots("1").await;
    let holder = format!("by job {}.", lease.job_id());
    assert_eq!(reason(&world, behind, "export", &["1 of 1 places", &holder, "EXPORTBOX_SOURCE_SLOTS"]).await, "source_full");
    world.cancel(late).await;
    assert_eq!(reason(&world, late, "export", &["Asked to stop at", "worker one"]).await, "cancelling");
    world.set_jobs("cancel_requested_at = null", "state = 'running'").await;
    world.let_leases_lapse().await;
    assert_eq!(reason(&world, late, "export", &["has not been heard of"]).await, "worker_lost");
    world.reap().await;
    assert_eq!(reason(&world, late, "export", &["Attempt 1 did not succeed (crashed", "tried again after"]).await, "backing_off");
    world.set_jobs("crashes = 2, run_at = now()", "state = 'pending'").await;
    world.set_source_slots("null").await;
    assert_eq!(reason(&world, behind, "export", &["lost 2 times", "after job"]).await, "goes_alone");
    world.cancel(late).await;
    world.cancel(behind).await;
    assert_eq!(reason(&world, late, "export", &["Cancelled before it started", "Requeue it"]).await, "cancelled");
}

#[tokio::test]
async fn what_people_and_settings_hold_up_is_told_with_who_and_what_ends_it() {
    let world = World::new().await;
    world.register("near", "select 1 as one", "").await;
    let id = world.request_report("near", serde_json::json!({}), "").await;
    let operator = world.operator().await;
    operator.batch_execute("select exportbox.pause('report:near', 'ticket 7'), exportbox.pause('exports')").await.unwrap();
    let words =
        ["report:near by operator_", "since", ": ticket 7; and exports by", "exportbox resume report:near, exportbox resume exports"];
    assert_eq!(reason(&world, id, "export", &words).await, "paused");
    world.sql("delete from exportbox.pause").await;
    world.hold("export", "store_config", "There is no such bucket.", "now() + interval '1 hour'").await;
    assert_eq!(
        reason(&world, id, "export", &["on hold since", "store_config", "no such bucket", "let through to try at"]).await,
        "on_hold"
    );
    world.lift_holds().await;
    world.set_jobs("not_after = now() - interval '1 second'", "true").await;
    assert_eq!(reason(&world, id, "export", &["not started by"]).await, "too_late");
    world.drain().await;
    assert_eq!(reason(&world, id, "export", &["Not started by its not_after", "later not_after"]).await, "expired");
    let dead = world.request("select nonsense", &["ann@example.com"]).await;
    world.drain().await;
    assert_eq!(reason(&world, dead, "export", &["Dead after one attempt (query)", "corrected query"]).await, "dead");
    assert_eq!(reason(&world, dead, "delivery", &["1 mail waits", "Requeue the export"]).await, "waits_for_export");
}

#[tokio::test]
async fn requesters_explain_their_own_readers_all_and_nobody_sees_an_address_or_a_query() {
    let world = World::new().await;
    let id = world.request_with("select 'secret' as one", &["ann@example.com"], "subject => 'Payroll'").await;
    let explain = format!("select coalesce(jsonb_agg(to_jsonb(e))::text, '') from exportbox.explain('{id}') as e");
    let other = world.login("other", &["exportbox_requester"]).await;
    assert_eq!(refusal(&other, &explain).await.code, "EB061");
    let reader = world.login("reader", &["exportbox_reader"]).await;
    for client in [&reader, &world.app().await] {
        let told: String = client.query_one(&explain, &[]).await.unwrap().get(0);
        assert!(told.contains("no_worker"), "{told}");
        for kept in ["ann@", "secret", "Payroll"] {
            assert!(!told.contains(kept), "{told}");
        }
    }
    world.drain().await;
    assert_eq!(refusal(&reader, &format!("select exportbox.explain('{}')", Uuid::new_v4())).await.code, "EB061");
    assert_eq!(refusal(&other, &format!("select exportbox.explain_pending('{id}')")).await.code, "42501");
}

#[tokio::test]
async fn the_command_explains_each_job_and_refuses_an_unknown_id() {
    let world = World::new().await;
    let id = world.request("select 1 as one", &["ann@example.com"]).await.to_string();
    let text = stdout(&world.run(&["explain", &id]).await);
    assert!(text.starts_with("export job ") && text.contains(": pending, no_worker\n    It could start now, but"), "{text}");
    assert!(text.contains("\ndelivery: pending, waits_for_export\n"), "{text}");
    let told = json(&world.run(&["explain", &id, "--json"]).await);
    assert_eq!(
        (&told["id"], &told["jobs"][0]["reason"], &told["jobs"][0]["is_due"]),
        (&id.as_str().into(), &"no_worker".into(), &true.into())
    );
    let unknown = world.run(&["explain", &Uuid::new_v4().to_string()]).await;
    assert_eq!((code(&unknown), stderr(&unknown).contains("exportbox.exports")), (1, true), "{}", stderr(&unknown));
}
