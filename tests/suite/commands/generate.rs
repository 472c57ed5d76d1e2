//! Completions and man pages: made for every command, and with no secret in them.

use std::process::{Command, Output};

use super::help::commands;
use crate::harness::process::{PROGRAM, code, stderr, stdout};

const SECRET: &str = "hunter2-secret";

fn program(arguments: &[&str]) -> Output {
    let url = format!("postgres://ann:{SECRET}@host/db");
    Command::new(PROGRAM).args(arguments).env_clear().env("EXPORTBOX_DATABASE_URL", url).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = program(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    let text = stdout(&output);
    assert!(!text.contains(SECRET), "{arguments:?}");
    text
}

#[test]
fn completions_name_every_command_in_every_shell_and_the_shells_can_read_them() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command} is missing");
        }
        assert!(script.contains("max-runtime") && script.contains("show-addresses"), "{shell}: options are missing");
        let path = dir.path().join(shell);
        std::fs::write(&path, script).unwrap();
        // Where the shell is on this machine, it reads its script; bash is everywhere.
        let Ok(read) = Command::new(shell).arg("-n").arg(&path).output() else {
            assert_ne!(shell, "bash", "no bash");
            continue;
        };
        assert!(read.status.success(), "{shell}: {}", stderr(&read));
    }
    assert_eq!(code(&program(&["completions", "tcsh"])), 2);
}

#[test]
fn the_man_page_names_every_command_and_each_command_has_one_with_its_options() {
    let page = printed(&["man"]);
    assert!(page.contains(".TH exportbox 1"), "{page}");
    for command in commands() {
        // Hyphens are escaped in man pages.
        assert!(page.contains(&format!("exportbox\\-{}", command.replace('-', "\\-"))), "{command} is missing");
    }
    let drain = printed(&["man", "drain"]);
    assert!(drain.contains("max\\-runtime") && drain.contains("EXPORTBOX_BUCKET") && drain.contains("Exit codes"), "{drain}");
    assert!(printed(&["man", "report", "add"]).contains("exportbox\\-report\\-add"));
    let unknown = program(&["man", "nonsense"]);
    assert!(code(&unknown) == 2 && stderr(&unknown).contains("there is no command nonsense"), "{}", stderr(&unknown));

    let dir = tempfile::tempdir().unwrap();
    printed(&["man", "--dir", dir.path().to_str().unwrap()]);
    for command in commands().iter().filter(|command| *command != "help") {
        assert!(dir.path().join(format!("exportbox-{command}.1")).is_file(), "{command} has no page");
    }
    assert!(dir.path().join("exportbox.1").is_file());
}
