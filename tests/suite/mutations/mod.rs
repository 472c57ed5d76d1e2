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

use std::path::Path;

/// Of the guarantees first, then of the defences that `docs/threats.md` names.
const LISTS: [&[Mutation]; 8] = [
    list::MUTATIONS,
    door::MUTATIONS,
    rights::MUTATIONS,
    catalogue::MUTATIONS,
    privacy::MUTATIONS,
    sealed::MUTATIONS,
    program::MUTATIONS,
    split::MUTATIONS,
];

fn all() -> impl Iterator<Item = &'static Mutation> {
    LISTS.into_iter().flatten()
}

/// One guard taken away.
struct Mutation {
    /// What the table calls it.
    name: &'static str,
    /// The file, from the root.
    file: &'static str,
    /// What stands there exactly once.
    search: &'static str,
    /// What stands there instead.
    replace: &'static str,
    /// The tests that must go red, each by itself.
    tests: &'static [&'static str],
}

impl Mutation {
    fn is_sql(&self) -> bool {
        self.file.ends_with(".sql")
    }

    /// What the file is after it. SQL keeps its length: it makes room by leaving out its remarks, but for the types of its parameters, which the
    /// program reads there, and for the name, which tests read on the server.
    fn mutated(&self, text: &str) -> String {
        let mutated = text.replacen(self.search, self.replace, 1);
        if !self.is_sql() {
            return mutated;
        }
        let brief: String = mutated
            .lines()
            .filter(|line| !line.trim_start().starts_with("--") || line.starts_with("-- name:") || line.starts_with("-- $"))
            .map(|line| if line.starts_with("-- $") { line.split_inclusive(':').next().unwrap_or_default() } else { line })
            .flat_map(|line| [line, "\n"])
            .collect();
        format!("{brief:width$}", width = brief.chars().count() + text.len().saturating_sub(brief.len()))
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_mutation_has_its_place_its_tests_and_its_line_in_the_table() {
    let (guarantees, mut wrong) = (read("docs/guarantees/mutations.md"), Vec::new());
    for mutation in all() {
        let places = read(mutation.file).matches(mutation.search).count();
        if places != 1 {
            wrong.push(format!("{}: `{}` stands {places} times in {}", mutation.name, mutation.search, mutation.file));
        }
        let text = read(mutation.file);
        if mutation.is_sql() && mutation.mutated(&text).len() != text.len() {
            wrong.push(format!("{}: the statement grows, which a compiled one cannot", mutation.name));
        }
        for test in mutation.tests {
            let (module, name) = test.rsplit_once("::").unwrap();
            let module = module.replace("::", "/");
            let of_unit = format!("src/{}.rs", module.trim_end_matches("/tests"));
            let places = [format!("tests/suite/{module}.rs"), format!("tests/suite/{module}/mod.rs"), of_unit];
            let texts: String = places.iter().filter_map(|place| std::fs::read_to_string(place).ok()).collect();
            if !texts.contains(&format!("fn {name}()")) {
                wrong.push(format!("{}: there is no test {test}", mutation.name));
            }
        }
        // One line holds both, so that the table says of each what notices it.
        let told = |line: &str| line.contains(&format!("| {} |", mutation.name)) && mutation.tests.iter().all(|test| line.contains(test));
        if !guarantees.lines().any(told) {
            wrong.push(format!("{}: the table in docs/guarantees/mutations.md has no such line", mutation.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
