//! Runs the list: each test goes red by itself, and was green before.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::{Mutation, all};
use crate::harness::files::{root, text};

/// A mutation that makes its test hang is noticed, too.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a server says of a statement that means nothing: a syntax error, no such column, no such table.
const MEANS_NOTHING: [&str; 3] = ["E42601", "E42703", "E42P01"];
/// A statement that means nothing makes every test red, and proves nothing.
const BROKEN: &str = "the mutation only breaks the statement";

/// Why one test of a compiled suite is red. `None`: it is green.
async fn red(suite: &Path, test: &str) -> Option<String> {
    let mut command = Command::new(suite);
    command.args(["--exact", test]).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let Ok(output) = tokio::time::timeout(PATIENCE, command.output()).await else { return Some("it hangs".into()) };
    let (status, said) = output.map(|output| (output.status, String::from_utf8_lossy(&output.stdout).into_owned())).unwrap();
    assert!(said.contains("running 1 test"), "{test} is not in {}: {said}", suite.display());
    let why = said.split_once("panicked at ").map_or("it says nothing", |(_, why)| why);
    let why = why.split("stack backtrace").next().unwrap_or_default();
    if MEANS_NOTHING.iter().any(|state| why.contains(&format!("SqlState({state})"))) {
        return Some(format!("{BROKEN}: {why}"));
    }
    let why = why.lines().take(2).collect::<Vec<_>>().join(" ");
    (!status.success()).then(|| why.chars().take(160).collect())
}

/// The compiled suite with every text of it in which a statement stands, ready to be changed.
struct Suite {
    bytes: Vec<u8>,
    /// The same with one plain character for each byte that is none, so that it can be searched as text.
    plain: String,
}

fn plain(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect()
}

impl Suite {
    fn read() -> Suite {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        Suite { plain: plain(&bytes), bytes }
    }

    /// A copy in which one statement is another. It stands there once for each part of the program that uses it.
    fn with(&self, mutation: &Mutation) -> PathBuf {
        let text = text(mutation.file);
        let mutated = mutation.mutated(&text).unwrap();
        let mut bytes = self.bytes.clone();
        let places: Vec<usize> = self.plain.match_indices(&plain(text.as_bytes())).map(|(place, _)| place).collect();
        assert!(!places.is_empty(), "{} is not in the compiled suite as it is on disk: build it again", mutation.file);
        for place in places {
            bytes[place..place + text.len()].copy_from_slice(mutated.as_bytes());
        }
        let path = root().join("target/mutations/suite");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A new file: the old one may still be somebody's program.
        let _ = std::fs::remove_file(&path);
        std::fs::copy(std::env::current_exe().unwrap(), &path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Write what differs, so that what does not is not compiled again.
fn write(to: &Path, text: &[u8]) {
    if std::fs::read(to).ok().as_deref() != Some(text) {
        std::fs::write(to, text).unwrap();
    }
}

/// A version of its own: what is compiled from the copy must never be taken for what is compiled from here.
fn renamed(text: &str) -> String {
    text.replacen("name = \"exportbox\"\nversion = \"", "name = \"exportbox\"\nversion = \"0.0.0-", 1)
}

/// Copy the sources, but for one that is given.
fn copy(from: &Path, to: &Path, but: (&Path, &str)) {
    let name = from.file_name().unwrap().to_string_lossy();
    if name == "target" || name == ".git" {
        return;
    }
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for name in from.read_dir().unwrap().map(|entry| entry.unwrap().file_name()) {
            copy(&from.join(&name), &to.join(&name), but);
        }
    } else if from == but.0 {
        write(to, but.1.as_bytes());
    } else if matches!(&*name, "Cargo.toml" | "Cargo.lock") {
        write(to, renamed(&std::fs::read_to_string(from).unwrap()).as_bytes());
    } else {
        write(to, &std::fs::read(from).unwrap());
    }
}

/// Compile a copy of the sources with the mutation in it, and give its suite, or what the compiler says.
async fn compiled(mutation: &Mutation) -> Result<PathBuf, String> {
    let tree = root().join("target/mutations/tree");
    copy(&root(), &tree, (&root().join(mutation.file), &mutation.mutated(&text(mutation.file)).unwrap()));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    // The same target directory: what is not ours is compiled already.
    command.current_dir(&tree).env("CARGO_TARGET_DIR", root().join("target")).env_remove("RUSTFLAGS");
    command.args(["test", "--locked", "--test", "suite", "--no-run", "--message-format=json-render-diagnostics"]);
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut suite = messages
        .filter(|message| message["target"]["name"] == "suite")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(suite.next_back().unwrap())
}

#[tokio::test]
#[ignore = "minutes; make mutations"]
async fn every_guard_that_is_taken_away_is_missed_by_a_test() {
    let only = std::env::var("MUTATION").unwrap_or_default();
    let chosen: Vec<&Mutation> = all().filter(|mutation| mutation.name.contains(&only) || mutation.file.contains(&only)).collect();
    let own = std::env::current_exe().unwrap();
    for test in chosen.iter().flat_map(|mutation| mutation.tests).collect::<BTreeSet<_>>() {
        assert_eq!(red(&own, test).await, None, "{test} is red although nothing is taken away");
    }
    let (suite, mut survivors) = (Suite::read(), Vec::new());
    for mutation in &chosen {
        let mutant = if mutation.is_sql() { Ok(suite.with(mutation)) } else { compiled(mutation).await };
        let mutant = mutant.unwrap_or_else(|why| panic!("{} does not compile: {why}", mutation.name));
        for test in mutation.tests {
            let why = red(&mutant, test).await;
            let why = why.as_deref().unwrap_or("SURVIVED");
            let is_noticed = why != "SURVIVED" && !why.starts_with(BROKEN);
            println!("{} | {} | {test} | {why}", if is_noticed { "noticed " } else { "SURVIVED" }, mutation.name);
            if !is_noticed {
                survivors.push(format!("{}: {test}: {why}", mutation.name));
            }
        }
    }
    // A build in the copy leaves its program where ours was.
    let ours = Command::new("cargo").current_dir(root()).args(["build", "--locked", "--quiet"]).status();
    assert!(ours.await.unwrap().success());
    assert!(!chosen.is_empty() && survivors.is_empty(), "not noticed:\n{}", survivors.join("\n"));
}
