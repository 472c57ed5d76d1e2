//! `exportbox demo`: every claim holds, and nothing of it is left on the machine.

use crate::harness::process::{PROGRAM, stderr, stdout};

/// Processes that have this text in their environment: whatever a program started inherits it.
fn processes_with(mark: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let marked = entries.filter(|entry| {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    });
    marked.map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default().replace('\0', " ")).collect()
}

#[tokio::test]
async fn the_demo_holds_what_it_claims_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    // The database runs as a user of its own, who has to reach its directory.
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mark = format!("EXPORTBOX_DEMO_MARK={}", dir.path().display());
    let (name, value) = mark.split_once('=').unwrap();
    let output = tokio::process::Command::new(PROGRAM)
        .args(["demo", "--json"])
        .env("TMPDIR", dir.path())
        .env(name, value)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}\n{}\n{}", output.status, stdout(&output), stderr(&output));
    let said = stdout(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    let summary: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(summary["ok"], true, "{summary}");

    crate::sandbox::until(|| processes_with(&mark).is_empty()).await;
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}
