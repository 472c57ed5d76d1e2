//! The reference of settings and commands, from the definition that `--help` and the man pages are made from, of formats and of the states of a job.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, Command};
use exportbox::format::TABLE;
use exportbox::job::{State, TRANSITIONS};

use super::table;

/// Every command that people see, under the words that call it: `drain`, `report add`.
fn all() -> Vec<(String, Command)> {
    fn collect(command: &Command, words: &str, found: &mut Vec<(String, Command)>) {
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
            let words = format!("{words} {}", inner.get_name()).trim().to_string();
            if inner.has_subcommands() { collect(inner, &words, found) } else { found.push((words, inner.clone())) }
        }
    }
    let mut program = exportbox::cli::command();
    program.build();
    let mut found = Vec::new();
    collect(&program, "", &mut found);
    found
}

fn setting(arg: &Arg) -> Option<String> {
    arg.get_env().map(|name| name.to_str().unwrap().to_string())
}

/// Help begins on one line and may go on below.
fn help(arg: &Arg) -> String {
    let text = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn default(arg: &Arg) -> String {
    let values: Vec<&str> = arg.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
    if values.is_empty() || matches!(arg.get_action(), ArgAction::SetTrue) { String::new() } else { format!("`{}`", values.join(",")) }
}

/// What takes a value shows its name: `--lease LEASE`.
fn flag(arg: &Arg) -> String {
    let value = arg.get_value_names().unwrap_or_default().first().map(ToString::to_string).unwrap_or_default();
    let value = if arg.get_action().takes_values() { format!(" {value}") } else { String::new() };
    let more = if matches!(arg.get_action(), ArgAction::Append) && arg.is_positional() { "…" } else { "" };
    match arg.get_long() {
        Some(long) => format!("`--{long}{value}`"),
        None => format!("`{}{more}`", value.trim()),
    }
}

/// One table for each set of commands that take the same settings, in the order of the help.
pub(super) fn settings() -> String {
    let commands = all();
    let mut takers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut order: Vec<(String, &Arg)> = Vec::new();
    for (words, command) in &commands {
        for (name, arg) in command.get_arguments().filter_map(|arg| Some((setting(arg)?, arg))) {
            takers.entry(name.clone()).or_default().push(words);
            if order.iter().all(|(known, _)| *known != name) {
                order.push((name, arg));
            }
        }
    }
    let mut groups: Vec<(&[&str], Vec<Vec<String>>)> = Vec::new();
    for (name, arg) in &order {
        let row = vec![format!("`{name}`"), default(arg), help(arg)];
        match groups.iter_mut().find(|(group, _)| *group == takers[name]) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((&takers[name], vec![row])),
        }
    }
    let title = |group: &[&str]| match group {
        group if group.len() == commands.len() => "every command".to_string(),
        [one] => format!("`{one}`"),
        [first @ .., last] => format!("{} and `{last}`", first.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")),
        [] => unreachable!("a setting belongs to a command"),
    };
    let sections = groups
        .into_iter()
        .map(|(group, rows)| format!("## Settings of {}\n\n{}", title(group), table(&["variable", "default", "what"], rows)));
    sections.collect::<Vec<_>>().join("\n")
}

/// One line a command.
pub(super) fn list() -> String {
    let link = |words: &str| format!("[`{words}`](#{})", words.replace(' ', "-"));
    table(
        &["command", "what"],
        all().into_iter().map(|(words, command)| vec![link(&words), command.get_about().map(ToString::to_string).unwrap_or_default()]),
    )
}

/// Each command with its usage, its exit codes and its options.
pub(super) fn commands() -> String {
    let common = exportbox::cli::command().get_after_long_help().map(ToString::to_string).unwrap_or_default();
    assert!(common.starts_with("Exit codes"), "{common}");
    let sections = all().into_iter().map(|(words, command)| section(&words, command));
    [wrapped(&common) + "\n"].into_iter().chain(sections).collect::<Vec<_>>().join("\n")
}

fn section(words: &str, mut command: Command) -> String {
    let mut text = format!("## {words}\n\n    {}\n\n", command.render_usage().to_string().trim_start_matches("Usage: "));
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    for paragraph in about.lines().filter(|line| !line.is_empty()) {
        let end = if paragraph.ends_with(['.', ':']) { "" } else { "." };
        text.push_str(&format!("{}\n\n", wrapped(&format!("{paragraph}{end}"))));
    }
    let own = |arg: &&Arg| !arg.is_global_set() && !matches!(arg.get_id().as_str(), "help" | "version") && !arg.is_hide_set();
    let (settings, options): (Vec<&Arg>, Vec<&Arg>) = command.get_arguments().filter(own).partition(|arg| arg.get_env().is_some());
    if !options.is_empty() {
        text.push_str(&table(&["argument", "default", "what"], options.into_iter().map(|arg| vec![flag(arg), default(arg), help(arg)])));
    }
    match settings.len() {
        0 => {}
        1..=6 => {
            let names: Vec<String> = settings.into_iter().filter_map(setting).map(|name| format!("`{name}`")).collect();
            text.push_str(&format!("\n{}\n", wrapped(&format!("Takes the [settings](settings.md) {}.", names.join(", ")))));
        }
        _ => text.push_str(&format!("\nTakes the [settings](settings.md) of `{words}`.\n")),
    }
    text
}

/// Lines of at most 140 characters.
fn wrapped(paragraph: &str) -> String {
    let mut lines = vec![String::new()];
    for word in paragraph.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.chars().count() + word.chars().count() > 139 {
            lines.push(word.to_string());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

/// What each format can do.
pub(super) fn formats() -> String {
    let quoted = |words: Vec<&str>| words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let rows = TABLE.iter().map(|format| {
        let compressions = format.compressions.iter().map(|compression| compression.name()).collect();
        vec![
            format!("`{}`", format.name),
            format!("`.{}`", format.ending),
            format.media_type.to_string(),
            quoted(compressions),
            quoted(format.options.to_vec()),
        ]
    });
    table(&["format", "ending", "content type", "compression", "options"], rows)
}

/// The states of a job and the verbs between them, drawn.
pub(super) fn states() -> String {
    let mut ways: Vec<((State, State), Vec<&str>)> = Vec::new();
    for transition in TRANSITIONS {
        for to in transition.to {
            let way = (transition.from, *to);
            match ways.iter_mut().find(|(known, _)| *known == way) {
                Some((_, verbs)) => verbs.push(transition.verb),
                None => ways.push((way, vec![transition.verb])),
            }
        }
    }
    let lines = ways.into_iter().map(|((from, to), verbs)| format!("    {from} --> {to}: {}\n", verbs.join(", ")));
    format!("```mermaid\nstateDiagram-v2\n    [*] --> pending: INSERT\n{}```", lines.collect::<String>())
}
