//! After the last fault: everything is well again, and what was requested gets its chance to end. What an operator may do is done here, and
//! counted: back-offs are cut short, and what died of lost workers or outages is requeued with the operator's own command.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::ledger::{Fate, Wish};
use crate::workers::environment;
use crate::world::{PROGRAM, World};

/// So long without any progress and it is stuck.
const PATIENCE: Duration = Duration::from_secs(90);
/// Deaths that are the round's own doing.
const INJECTED: [&str; 9] = [
    "crashed",
    "timeout",
    "source_unavailable",
    "source_overloaded",
    "store_unavailable",
    "store_throttled",
    "verification",
    "mail_unavailable",
    "mail_unknown",
];

/// What it took.
#[derive(Debug, Default)]
pub struct Settled {
    pub requeued: usize,
    pub took: Duration,
}

/// Wait until every job is final, or nothing moves any more.
pub async fn until_final(world: &World) -> Settled {
    let admin = world.admin().await;
    let (began, mut settled) = (Instant::now(), Settled::default());
    let (mut last, mut moved) = (-1, Instant::now());
    loop {
        admin
            .batch_execute(
                "update exportbox.job set run_at = now() where state = 'pending' and run_at > now();
                 update exportbox.control set probe_at = now() where probe_at > now()",
            )
            .await
            .unwrap();
        let row = admin
            .query_one(
                "select count(*) filter (where state in ('pending', 'running')), count(*) filter (where state = 'completed')
                 from exportbox.jobs",
                &[],
            )
            .await
            .unwrap();
        let (open, completed): (i64, i64) = (row.get(0), row.get(1));
        if completed != last {
            (last, moved) = (completed, Instant::now());
        }
        let back = if open == 0 { requeue(world, &admin).await } else { 0 };
        settled.requeued += back;
        if open == 0 && back == 0 || moved.elapsed() > PATIENCE {
            settled.took = began.elapsed();
            world.tally.note(format_args!("settled after {:.0} s: {open} open, {completed} completed", settled.took.as_secs_f64()));
            return settled;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// `exportbox requeue` for exports and notices that died of what the round did to them. Requests that were to die or to be cancelled stay as they are.
async fn requeue(world: &World, admin: &Client) -> usize {
    let ours: HashSet<Uuid> = world
        .ledger
        .all()
        .into_iter()
        .filter(|request| request.fate == Fate::Committed && matches!(request.wish, Wish::File | Wish::Soon))
        .map(|request| request.id)
        .collect();
    // What is of no export is a notice, and goes by its own id.
    let dead = "select distinct coalesce(export_id, id), error_class, export_id is null from exportbox.jobs where state = 'dead' and error_class = any($1)";
    let dead = admin.query(dead, &[&INJECTED.as_slice()]).await.unwrap();
    let mut requeued = 0;
    for row in dead.iter().filter(|row| row.get(2) || ours.contains(&row.get(0))) {
        let (id, class): (Uuid, String) = (row.get(0), row.get(1));
        world.tally.note(format_args!("requeue {id} ({class})"));
        let output = run(world, &["requeue", &id.to_string()]).await;
        assert!(output.status.success(), "requeue {id}: {}", String::from_utf8_lossy(&output.stderr));
        requeued += 1;
    }
    requeued
}

/// One last drain after all workers are gone: whatever is left to do or to sweep, a single process must be able to. Lost attempts are looked at
/// once more ten minutes after their end; these ten minutes are made to have passed.
pub async fn last_drain(world: &World) {
    let admin = world.admin().await;
    let age = "update exportbox.attempt set finished_at = finished_at - interval '11 minutes', sweep_after = now()
        where sweep_after < 'infinity' and finished_at is not null";
    admin.execute(age, &[]).await.unwrap();
    let unswept =
        "select count(*) from exportbox.attempt where object_key is not null and outcome <> 'completed' and sweep_after < 'infinity'";
    let mut before = i64::MAX;
    loop {
        let left: i64 = admin.query_one(unswept, &[]).await.unwrap().get(0);
        let output = run(world, &["drain"]).await;
        world.tally.note(format_args!("last drain, {left} to be swept: {}", String::from_utf8_lossy(&output.stdout).trim()));
        // A drain sweeps one batch and leaves the rest to the next.
        if left == 0 || left >= before {
            return;
        }
        before = left;
    }
}

/// The program as an operator runs it: straight to the database, no proxy.
async fn run(world: &World, arguments: &[&str]) -> std::process::Output {
    let mut program = Command::new(PROGRAM);
    program.args(arguments).env_clear().envs(environment(world, world.port)).output().await.unwrap()
}
