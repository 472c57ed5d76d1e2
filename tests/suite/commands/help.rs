//! `--help` is the reference.

use std::collections::BTreeSet;
use std::process::Command;

use crate::harness::files::{files, text};
use crate::harness::process::{PROGRAM, help};

/// The commands that the first page lists.
pub(super) fn commands() -> Vec<String> {
    let page = help(&[]);
    let listed = page.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A name is indented by two; what it does may go on below, further in.
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).map(ToString::to_string).collect()
}

#[test]
fn every_command_of_the_contract_has_a_help_page_with_an_explanation_for_each_option() {
    let commands = commands();
    for name in [
        "migrate",
        "run",
        "drain",
        "status",
        "show",
        "watch",
        "explain",
        "cancel",
        "requeue",
        "pause",
        "resume",
        "relink",
        "dead",
        "demo",
        "sandbox",
        "health",
        "doctor",
        "completions",
        "man",
    ] {
        assert!(commands.iter().any(|command| command == name), "{name} is missing in {commands:?}");
    }
    for command in commands.iter().filter(|command| *command != "help") {
        let page = help(&[command]);
        assert!(page.contains("Usage: exportbox"), "{page}");
        let lines: Vec<&str> = page.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("--")) {
            let below = lines.get(number + 1).copied().unwrap_or_default();
            let explained = line.trim_start().contains("  ") || below.len() > below.trim_start().len();
            assert!(explained, "{command}: {line:?} is not explained");
        }
    }
}

/// Names of settings in a text.
fn settings(text: &str) -> BTreeSet<String> {
    text.match_indices("EXPORTBOX_")
        .map(|(at, _)| text[at..].chars().take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_').collect::<String>())
        .filter(|name| name.len() > "EXPORTBOX_".len())
        .collect()
}

#[test]
fn every_setting_that_a_text_mentions_is_in_the_help() {
    let known: BTreeSet<String> =
        commands().iter().filter(|command| *command != "help").flat_map(|command| settings(&help(&[command]))).collect();
    assert!(known.len() > 15, "{known:?}");
    let more = ["docker-compose.yml", "Dockerfile", "README.md"].map(|path| (path.to_string(), text(path)));
    let of_docs = ["md", "json", "yml"].into_iter().flat_map(|ending| files("docs", ending));
    for (path, text) in more.into_iter().chain(of_docs) {
        let unknown: Vec<String> = settings(&text).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{path} mentions {unknown:?}");
    }
}

#[test]
fn help_and_version_print_no_secret_of_the_environment() {
    let secret = "hunter2-secret";
    let variables = ["EXPORTBOX_DATABASE_URL", "EXPORTBOX_SOURCE_URL", "EXPORTBOX_SOURCE_FOR", "EXPORTBOX_MAIL"];
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env_clear();
        for name in variables {
            command.env(name, format!("smtp://ann:{secret}@host"));
        }
        let output = command.output().unwrap();
        assert!(output.status.success());
        assert!(!String::from_utf8_lossy(&output.stdout).contains(secret), "{arguments:?}");
    }
}
