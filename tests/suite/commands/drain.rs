//! `drain`: its exit codes and its summary.

use crate::harness::World;
use crate::harness::process::stdout;

/// The summary, which must tell the exit code as well.
#[tokio::test]
async fn drain_is_0_when_nothing_due_is_left() {
    let world = World::new().await;
    assert_eq!(world.drained(&[], &[]).await["exit_code"], 0, "nothing to do");
    world.request("select 1", &["ann@example.com", "bob@example.com"]).await;
    world.request_with("select 1", &[], "run_at => now() + interval '1 day'").await;
    world.request_with("select 1", &[], "not_after => now() + interval '1 hour'").await;
    world.set_jobs("not_after = now() - interval '1 s'", "not_after is not null").await;
    let summary = world.drained(&[], &[]).await;
    let counts = ["claimed", "exported", "mailed", "retried", "dead", "cancelled", "expired", "due", "waiting", "running_elsewhere"];
    let counted: Vec<i64> = counts.iter().map(|name| summary[name].as_i64().unwrap()).collect();
    assert_eq!((&summary["exit_code"], counted), (&0.into(), vec![3, 1, 2, 0, 0, 0, 1, 0, 1, 0]), "{summary}");
    assert!(summary["next_due_at"].is_string() && summary["on_hold"].is_null() && summary["duration_s"].is_number(), "{summary}");
    let human = stdout(&world.run(&["drain"]).await);
    assert!(
        human.starts_with("drained in ") && human.contains("0 exported") && human.contains("1 waiting") && human.contains("next due"),
        "{human}"
    );
}

#[tokio::test]
async fn drain_is_10_when_its_budget_ends_before_the_work() {
    let world = World::new().await;
    for _ in 0..3 {
        world.request("select 1", &[]).await;
    }
    let summary = world.drained(&["--max-jobs", "2"], &[]).await;
    assert_eq!(
        (&summary["exit_code"], &summary["exported"], &summary["due"], &summary["budget_spent"]),
        (&10.into(), &2.into(), &1.into(), &true.into())
    );
    let summary = world.drained(&["--max-runtime", "1ns"], &[]).await;
    assert_eq!((&summary["exit_code"], &summary["claimed"]), (&10.into(), &0.into()));
    assert_eq!(world.drained(&["--max-jobs", "1"], &[]).await["exit_code"], 0, "the budget was just enough");
    assert_eq!(world.drained(&["--max-jobs", "1"], &[]).await["exit_code"], 0, "with nothing to do it ends, too");
}

#[tokio::test]
async fn drain_is_11_when_a_job_died_in_this_run_and_only_then() {
    let world = World::new().await;
    world.request("select nonsense", &[]).await;
    world.request("select 1", &[]).await;
    let summary = world.drained(&[], &[]).await;
    assert_eq!((&summary["exit_code"], &summary["dead"], &summary["exported"]), (&11.into(), &1.into(), &1.into()));
    assert_eq!(world.drained(&[], &[]).await["exit_code"], 0, "it died before");
}

#[tokio::test]
async fn drain_is_2_when_a_wrong_setting_holds_work_up_and_says_which() {
    let world = World::new().await;
    let id = world.request("select 1", &[]).await;
    let summary = world.drained(&[], &[("EXPORTBOX_BUCKET", "no-such-bucket")]).await;
    assert_eq!((&summary["exit_code"], &summary["dead"], &summary["waiting"]), (&2.into(), &0.into(), &1.into()), "{summary}");
    assert!(summary["on_hold"].as_str().unwrap().contains("bucket"), "{summary}");
    assert_eq!(world.state(id).await, "pending");
    assert_eq!(world.count("select attempt::bigint from exportbox.jobs").await, 0, "burnt by a wrong setting");
    // Mended, and its next look due: the hold goes by itself.
    world.set_probes("now()").await;
    assert_eq!(world.drained(&[], &[]).await["exit_code"], 0);
    assert_eq!(world.state(id).await, "completed");
}
