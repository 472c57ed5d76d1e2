//! The documents agree with the program, link to what is there, and can be read in a terminal.
//!
//! What the program or the code knows already is not written a second time: it stands in a document between `<!-- generated: NAME -->` and
//! `<!-- end -->`, and `make docs` (this suite with `UPDATE_DOCS=1`) writes it. To add such a block, put the two markers into the document and a
//! line into [`BLOCKS`]; where it needs a database, call [`assert_block`] in a test of this room and name the block in [`BUILT_BY_TESTS`].

mod guarantees;
mod pages;
mod reference;
mod statements;
mod views;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::harness::files::root;
use crate::monitoring::papers;

/// A part of a document that is made from something else.
struct Block {
    /// The document, from the root.
    file: &'static str,
    /// What its first marker says.
    name: &'static str,
    /// The lines between the markers.
    text: fn() -> String,
}

/// Every block whose text needs nothing but the program and the files of the project.
const BLOCKS: &[Block] = &[
    Block { file: "docs/ARCHITECTURE.md", name: "states", text: reference::states },
    Block { file: "docs/application/files.md", name: "formats", text: reference::formats },
    Block { file: "docs/settings.md", name: "settings", text: reference::settings },
    Block { file: "docs/commands.md", name: "list of commands", text: reference::list },
    Block { file: "docs/commands.md", name: "commands", text: reference::commands },
    Block { file: "docs/monitoring.md", name: "metrics", text: papers::metrics },
    Block { file: "docs/monitoring/log-lines.md", name: "log lines", text: papers::log_lines },
    Block { file: "docs/guarantees/crashes.md", name: "failpoints", text: guarantees::points },
    Block { file: "sql/README.md", name: "schema", text: statements::schema },
];

/// Blocks that a test of this room makes, one for each of what it finds: the beginnings of their names.
const BUILT_BY_TESTS: [&str; 3] = ["view ", "statements of ", "guards of "];

const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

/// Several tests may write the same document.
static WRITING: Mutex<()> = Mutex::new(());

/// The block has this text; with `UPDATE_DOCS` set it is written instead.
fn assert_block(file: &str, name: &str, text: &str) {
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = root().join(file);
    let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let marker = format!("{BEGIN}{name} -->\n");
    let parts = page.split_once(&marker).and_then(|(before, rest)| Some((before, rest.split_once(END)?)));
    let (before, (there, after)) = parts.unwrap_or_else(|| panic!("{file} has no block \"{name}\": put {marker}{END} where it belongs"));
    let made = format!("\n{}\n\n", text.trim());
    if there == made {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "the block \"{name}\" of {file} is stale: run make docs, and look at what changed\n{made}"
    );
    std::fs::write(&path, format!("{before}{marker}{made}{END}{after}")).unwrap();
}

#[test]
fn every_generated_block_is_what_the_program_and_the_code_say() {
    for block in BLOCKS {
        assert_block(block.file, block.name, &(block.text)());
    }
}

#[test]
fn no_block_is_left_that_nothing_generates() {
    let known: BTreeSet<(String, String)> = BLOCKS.iter().map(|block| (block.file.to_string(), block.name.to_string())).collect();
    for (file, text) in pages::all() {
        for name in text.split(BEGIN).skip(1).map(|rest| rest.split(" -->").next().unwrap()) {
            let built = BUILT_BY_TESTS.iter().any(|beginning| name.starts_with(beginning)) || known.contains(&(file.clone(), name.into()));
            assert!(built, "{file}: nothing generates the block \"{name}\"");
        }
        assert_eq!(text.matches(BEGIN).count(), text.matches(END).count(), "{file}: a block without an end");
    }
}

/// A table in Markdown. Cells may hold anything but line breaks.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| {
        format!("| {} |\n", cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | "))
            .replace("|  |", "| |")
            .replace("|  |", "| |")
    };
    let head = line(header.iter().map(ToString::to_string).collect());
    let rule = line(header.iter().map(|_| "---".to_string()).collect());
    [head, rule].into_iter().chain(rows.into_iter().map(line)).collect()
}
