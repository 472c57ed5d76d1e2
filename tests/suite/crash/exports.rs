//! A crash of an export's attempt.

use super::{Path, Scene, each, points};

/// What is to be seen of one crash.
#[derive(Debug, Clone, Copy)]
struct Case {
    point: &'static str,
    path: Path,
    /// How often the point is passed before.
    passed: u32,
    /// Open uploads and objects when the process is dead.
    left: (usize, usize),
    /// Outcomes of the export's attempts in the end.
    outcomes: &'static str,
}

fn cases(point: &'static str) -> Vec<Case> {
    const LOST: &str = "reaped, completed";
    let case = |path, left| Case { point, path, passed: 0, left, outcomes: LOST };
    let done = [case(Path::Small, (0, 1)), case(Path::Large, (0, 1)), case(Path::AwsS3, (0, 4))];
    match point {
        // No exporter is chosen yet.
        "export.claimed" | "export.loaded" | "export.opened" => vec![case(Path::Small, (0, 0))],
        "export.noted_backend" | "export.noted_store" => vec![case(Path::Small, (0, 0)), case(Path::AwsS3, (0, 0))],
        "export.copying" => vec![case(Path::Large, (0, 0))],
        "export.began_upload" | "export.noted_upload" => vec![case(Path::Large, (1, 0))],
        "export.stored_part" => vec![case(Path::Large, (1, 0)), Case { passed: 1, ..case(Path::Large, (1, 0)) }],
        "export.publishing" => vec![case(Path::Small, (0, 0)), case(Path::Large, (1, 0))],
        "export.published" => done[..2].to_vec(),
        "export.calling" => vec![case(Path::AwsS3, (0, 0))],
        "export.called" => done[2..].to_vec(),
        "export.verified" => done.to_vec(),
        "export.aborting" => vec![case(Path::Refused, (1, 0))],
        "export.aborted" => vec![case(Path::Refused, (0, 0))],
        "export.settling" => [&done[..], &[case(Path::Refused, (0, 0))]].concat(),
        "export.settled" => {
            let settled = done.map(|case| Case { outcomes: "completed", ..case });
            [&settled[..], &[Case { outcomes: "retried, completed", ..case(Path::Refused, (0, 0)) }]].concat()
        }
        "worker.released" => vec![Case { outcomes: "released, completed", ..case(Path::WrongBucket, (0, 0)) }],
        _ => panic!("{point} has no expectation"),
    }
}

async fn crash_and_converge(case: Case) -> Scene {
    let scene = Scene::new(case.path).await;
    let world = &scene.world;
    let action = if case.passed == 0 { "return".to_string() } else { format!("{}*off->return", case.passed) };
    scene.crash(&format!("{}={action}", case.point)).await;
    assert_eq!(world.left_in_the_store().await, case.left);
    assert!(world.mails().is_empty(), "no mail before a complete, verified file");
    world.converge(scene.id, &[]).await;
    scene.assert_converged().await;
    assert_eq!(world.outcomes(scene.id).await, case.outcomes);
    let mut served = world.served(scene.id).await;
    let mut lost = usize::from(case.outcomes.starts_with("reaped"));
    if case.point == "export.settled" {
        // The mails are due from that commit on, and the dying process may have claimed one before its end: it has a lost attempt then.
        lost += served.iter().filter(|line| line.contains("reaped, ")).count();
        served.iter_mut().for_each(|line| *line = line.replace("reaped, ", ""));
    }
    assert_eq!(served, ["ann@example.com: accepted, completed, 1 mails", "bob@example.com: accepted, completed, 1 mails"]);
    let reaped: Vec<String> = (lost > 0).then(|| format!("reaped {lost}")).into_iter().collect();
    assert_eq!(world.events().await, reaped);
    let exporter = if case.path == Path::AwsS3 { "aws_s3" } else { "copy" };
    assert_eq!(world.exporters(scene.id).await.last().unwrap(), exporter);
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_survives_a_crash_between_any_two_steps() {
    each(points("export.").chain(["worker.released"]).flat_map(cases).collect(), crash_and_converge).await;
}
