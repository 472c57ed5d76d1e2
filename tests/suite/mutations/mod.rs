//! Break it on purpose: each guard of the code is taken away once, and the tests that are to notice it must go red.
//!
//! `make mutations` runs them all (SQL is changed inside a copy of the compiled suite, Rust in a copy of the sources); the suite itself only
//! checks that every one still has its place, so that the table in `docs/guarantees/mutations.md` cannot rot.

mod catalogue;
mod door;
mod list;
mod privacy;
mod program;
mod rights;
mod run;
mod sealed;
mod split;

use std::collections::BTreeSet;

use crate::harness::files::{files, root, text};

/// The tables of `docs/guarantees/mutations.md`: the guarantees first, then the defences that `docs/threats.md` names.
pub const TABLES: [(&str, &[&[Mutation]]); 7] = [
    ("guards of the guarantees", &[list::MUTATIONS, split::MUTATIONS]),
    ("guards of the door", &[door::MUTATIONS]),
    ("guards of who sees what", &[rights::MUTATIONS]),
    ("guards of reports", &[catalogue::MUTATIONS]),
    ("guards of erasure and history", &[privacy::MUTATIONS]),
    ("guards of sealed reports", &[sealed::MUTATIONS]),
    ("guards of queries, files and logs", &[program::MUTATIONS]),
];

fn all() -> impl Iterator<Item = &'static Mutation> {
    TABLES.into_iter().flat_map(|(_, lists)| lists).flat_map(|list| list.iter())
}

/// One guard taken away.
///
/// Its place is a line of the source that carries the guard's name: `-- guard: NAME` in SQL, `// guard: NAME` in Rust, at the end of the line or
/// alone on the line above. Several names are separated by commas. So the line itself may be reworded.
pub struct Mutation {
    /// What the table calls it.
    pub name: &'static str,
    /// The file, from the root.
    pub file: &'static str,
    /// The name that the line carries, once in its file.
    guard: &'static str,
    change: Change,
    /// What would happen without the guard, in the words of the table.
    pub harm: &'static str,
    /// The tests that must go red, each by itself.
    pub tests: &'static [&'static str],
}

/// What becomes of the line.
enum Change {
    /// It is not there.
    Drop,
    /// This stands there instead.
    Become(&'static str),
    /// This part of it is that.
    Part(&'static str, &'static str),
    /// This line comes before it.
    Before(&'static str),
}

/// How the sources name a guard.
const MARKERS: [&str; 2] = ["-- guard: ", "// guard: "];

/// What a line says besides a marker, and the guards that the marker names.
fn marked(line: &str) -> Option<(&str, Vec<&str>)> {
    let (code, names) = MARKERS.iter().find_map(|marker| line.split_once(marker))?;
    Some((code.trim_end(), names.split(", ").collect()))
}

impl Mutation {
    fn is_sql(&self) -> bool {
        self.file.ends_with(".sql")
    }

    /// What the file is after it, or why it has no place there. SQL keeps its length: it makes room by leaving out its remarks, but for the types
    /// of its parameters, which the program reads there, and for the name, which tests read on the server.
    fn mutated(&self, text: &str) -> Result<String, String> {
        let mut lines: Vec<String> = text.lines().map(ToString::to_string).collect();
        let places: Vec<usize> =
            (0..lines.len()).filter(|place| marked(&lines[*place]).is_some_and(|(_, names)| names.contains(&self.guard))).collect();
        let [place] = places[..] else {
            return Err(format!("{}: \"{}\" stands {} times in {}", self.name, self.guard, places.len(), self.file));
        };
        let code = marked(&lines[place]).map_or("", |(code, _)| code).to_string();
        // Alone on its line, a marker is for the next one.
        let (place, code) = if code.is_empty() { (place + 1, lines[place + 1].clone()) } else { (place, code) };
        let indent = code.len() - code.trim_start().len();
        match self.change {
            Change::Drop => drop(lines.remove(place)),
            Change::Become(other) => lines[place] = format!("{:indent$}{other}", ""),
            Change::Part(part, other) if code.contains(part) => lines[place] = code.replace(part, other),
            Change::Part(part, _) => return Err(format!("{}: there is no `{part}` in `{code}`", self.name)),
            Change::Before(line) => lines.insert(place, format!("{:indent$}{line}", "")),
        }
        if !self.is_sql() {
            return Ok(lines.join("\n") + "\n");
        }
        let brief: String = lines
            .iter()
            .filter(|line| !line.trim_start().starts_with("--") || line.starts_with("-- name:") || line.starts_with("-- $"))
            .map(|line| if line.starts_with("-- $") { line.split_inclusive(':').next().unwrap_or_default() } else { line })
            .map(|line| marked(line).map_or(line, |(code, _)| code))
            .flat_map(|line| [line, "\n"])
            .collect();
        if brief.len() > text.len() {
            return Err(format!("{}: the statement grows, which a compiled one cannot", self.name));
        }
        Ok(format!("{brief:width$}", width = brief.chars().count() + text.len() - brief.len()))
    }
}

#[test]
fn every_mutation_has_its_place_and_its_tests() {
    let mut wrong = Vec::new();
    for mutation in all() {
        wrong.extend(mutation.mutated(&text(mutation.file)).err());
        for test in mutation.tests {
            let (module, name) = test.rsplit_once("::").unwrap();
            let module = module.replace("::", "/");
            let of_unit = format!("src/{}.rs", module.trim_end_matches("/tests"));
            let places = [format!("tests/suite/{module}.rs"), format!("tests/suite/{module}/mod.rs"), of_unit];
            let texts: String = places.iter().filter_map(|place| std::fs::read_to_string(root().join(place)).ok()).collect();
            if !texts.contains(&format!("fn {name}()")) {
                wrong.push(format!("{}: there is no test {test}", mutation.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_guard_that_the_source_names_is_taken_away_by_a_mutation() {
    let taken: BTreeSet<(&str, &str)> = all().map(|mutation| (mutation.file, mutation.guard)).collect();
    let mut left = Vec::new();
    for (file, text) in files("sql", "sql").into_iter().chain(files("src", "rs")) {
        let named = text.lines().filter_map(marked).flat_map(|(_, names)| names);
        left.extend(named.filter(|name| !taken.contains(&(file.as_str(), name))).map(|name| format!("{file}: {name}")));
    }
    assert!(left.is_empty(), "no mutation takes these guards away:\n{}", left.join("\n"));
}
