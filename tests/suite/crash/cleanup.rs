//! A crash of the process that cleans up after another crash.

use super::{GATED, Path, Scene, each, points};
use crate::harness::process::signal;

/// What is to be seen of the second crash.
#[derive(Debug, Clone, Copy)]
struct Case {
    point: &'static str,
    path: Path,
    /// Where the process before was killed, and what it left: open uploads and objects. None: the process cleans up after itself.
    before: Option<(&'static str, (usize, usize))>,
    /// What is left after the second crash.
    left: (usize, usize),
}

fn cases(point: &'static str) -> Vec<Case> {
    let (upload, object, files) = ((1, 0), (0, 1), (0, 4));
    let after = |path, before, left| Case { point, path, before: Some(before), left };
    let small = |left| after(Path::Small, ("export.published=return", object), left);
    let large = |left| after(Path::Large, ("export.stored_part=return", upload), left);
    let unknown_upload = |left| after(Path::Large, ("export.began_upload=return", upload), left);
    let aws_s3 = |left| after(Path::AwsS3, ("export.called=return", files), left);
    let own = Case { point, path: Path::Refused, before: None, left: (0, 0) };
    match point {
        "worker.reaped" => vec![small(object), aws_s3(files)],
        "worker.ended_query" => vec![large(upload), aws_s3(files)],
        "worker.aborting" => vec![unknown_upload(upload)],
        "worker.aborted" => vec![small(object), unknown_upload((0, 0))],
        "worker.swept" => vec![large((0, 0)), aws_s3((0, 0)), own],
        "worker.recorded_sweep" => vec![small((0, 0)), own],
        // `retention` has these.
        "worker.pruned" | "worker.removed_leftovers" => Vec::new(),
        // `notices` has this.
        "worker.gathered" => Vec::new(),
        // A crash of the attempt itself.
        "worker.released" => Vec::new(),
        _ => panic!("{point} has no expectation"),
    }
}

async fn crash_twice_and_converge(case: Case) -> Scene {
    let scene = Scene::new(case.path).await;
    let world = &scene.world;
    if let Some((first, left)) = case.before {
        scene.crash(first).await;
        assert_eq!(world.left_in_the_store().await, left);
        world.let_the_dead_be_noticed().await;
    }
    scene.crash(&format!("{}=return", case.point)).await;
    assert_eq!(world.left_in_the_store().await, case.left);
    world.converge(scene.id, &[]).await;
    scene.assert_converged().await;
    let outcomes = if case.before.is_some() { "reaped, completed" } else { "retried, completed" };
    assert_eq!(world.outcomes(scene.id).await, outcomes);
    assert_eq!(
        world.served(scene.id).await,
        ["ann@example.com: accepted, completed, 1 mails", "bob@example.com: accepted, completed, 1 mails"]
    );
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_is_swept_though_the_sweeper_crashes_between_any_two_steps() {
    each(points("worker.").flat_map(cases).collect(), crash_twice_and_converge).await;
}

/// The worker stalls while its query runs; whoever takes its lease is killed before it has ended that query.
async fn crash_while_the_query_runs(path: Path) -> Scene {
    let mut scene = Scene::new(path).await;
    scene.world.forget_jobs().await;
    (scene.query, scene.id) = (GATED, scene.world.request(GATED, super::RECIPIENTS).await);
    let (world, id) = (&scene.world, scene.id);
    let gate = world.gate().await;
    let mut stalled = world.spawn(&["drain"]);
    world.until_at_gate(id).await;
    signal(&stalled, "STOP").await;
    world.let_the_dead_be_noticed().await;
    scene.crash("worker.reaped=return").await;
    assert_eq!(world.backends_of(id).await, 1, "the server still works for the stalled process");
    // The third process has nobody to reap: it knows of the query from the attempt alone.
    assert_eq!(world.run(&["drain"]).await.status.code(), Some(0));
    assert_eq!(world.backends_of(id).await, 0, "the query goes on, and may store what nobody will sweep");
    stalled.kill().await.unwrap();
    gate.open().await;
    world.converge(id, &[]).await;
    scene.assert_converged().await;
    assert_eq!(world.outcomes(id).await, "reaped, completed");
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_outlives_its_lease_is_ended_though_the_reaper_crashes() {
    each(vec![Path::Small, Path::AwsS3], crash_while_the_query_runs).await;
}
