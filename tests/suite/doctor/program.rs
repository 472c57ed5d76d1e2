//! The command itself: one screen, one line of JSON, and the exit code.

use exportbox::sandbox::{Action, Rule};

use crate::harness::World;
use crate::harness::canary::leak_in;
use crate::harness::process::{code, json, stderr, stdout};

/// Every check, in its order, as the documents list them.
fn listed() -> Vec<String> {
    let text = include_str!("../../../docs/operations/doctor.md");
    let section = text.split("\n## Checks\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(name, _)| name.to_string()).collect()
}

#[tokio::test]
async fn a_healthy_set_up_fits_a_screen_and_exits_with_0() {
    let world = World::new().await;
    let output = world.run(&["doctor"]).await;
    let said = stdout(&output);
    assert_eq!(code(&output), 0, "{said}{}", stderr(&output));
    assert!(said.lines().count() <= 40 && said.contains("nothing to do"), "{said}");
    assert!(leak_in(&said).is_none(), "{said}");

    let report = json(&world.run(&["doctor", "--json"]).await);
    let names: Vec<&str> = report["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, listed(), "the table in docs/operations/doctor.md");
    assert_eq!((report["fail"].as_i64(), report["warn"].as_i64()), (Some(0), Some(0)), "{report}");
}

#[tokio::test]
async fn something_wrong_is_1_and_a_warning_is_0() {
    let world = World::new().await;
    world.sql("alter table exportbox.job set (autovacuum_enabled = off)").await;
    let output = world.run(&["doctor"]).await;
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains("WARN  autovacuum") && stdout(&output).contains("→ run alter table"), "{}", stdout(&output));
    world.s3.faults().add(Rule::on("PutObject", Action::error(403, "AccessDenied", "Access Denied")));
    let output = world.run(&["doctor", "--json"]).await;
    assert_eq!((code(&output), json(&output)["fail"].as_i64()), (1, Some(1)), "{}", stdout(&output));
}

#[tokio::test]
async fn what_keeps_a_daemon_from_starting_is_69_or_2_and_the_rest_is_looked_at_all_the_same() {
    let world = World::new().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = format!("postgres://ann:hunter2-secret@127.0.0.1:{port}/shop");
    let wrong = crate::harness::postgres().url("exportbox_daemon", "hunter2-secret", &world.database);
    for (url, expected, words) in [(&away, 69, "cannot be reached"), (&wrong, 2, "refuses the login")] {
        let output = world.run_with(&["doctor"], &[("EXPORTBOX_DATABASE_URL", url)]).await;
        let said = stdout(&output);
        assert_eq!(code(&output), expected, "{said}{}", stderr(&output));
        assert!(said.contains(words) && !said.contains("hunter2"), "{said}");
        for fine in ["ok    bucket", "ok    sender", "-     grants"] {
            assert!(said.contains(fine), "{fine}: {said}");
        }
    }
    let output = world.run_with(&["doctor"], &[("EXPORTBOX_BUCKET", "")]).await;
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert!(stderr(&output).contains("set EXPORTBOX_BUCKET"), "{}", stderr(&output));
}
