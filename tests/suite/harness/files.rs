//! Files of the project, for tests of what stands in them.

use std::path::{Path, PathBuf};

/// Where the project lies.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// The text of a file of the project.
pub fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below a directory of the project with this ending: its path from the root, and its text.
pub fn files(dir: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut todo = vec![root().join(dir)];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|found| found == ending) {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_string();
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(!found.is_empty(), "{dir} holds no {ending}");
    found.sort();
    found
}

/// The source without comments and without its unit tests, by line number.
pub fn code(text: &str) -> Vec<(usize, &str)> {
    let shipped = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    (1..).zip(shipped.lines()).filter(|(_, line)| !line.trim_start().starts_with("//")).collect()
}
