//! The lists of docs/guarantees, from the failpoints and from the mutations.

use super::{assert_block, table};
use crate::mutations;

/// Where a test may kill the process.
pub(super) fn points() -> String {
    let rows = exportbox::failpoint::POINTS.iter().map(|(name, sentence)| vec![format!("`{name}`"), sentence.to_string()]);
    table(&["killed at", "what is true there"], rows)
}

#[test]
fn every_guard_that_is_taken_away_is_listed_with_the_tests_that_notice_it() {
    for (name, lists) in mutations::TABLES {
        let rows = lists.iter().flat_map(|list| list.iter()).map(|mutation| {
            let tests: Vec<String> = mutation.tests.iter().map(|test| format!("`{test}`")).collect();
            vec![mutation.name.to_string(), format!("`{}`", mutation.file), mutation.harm.to_string(), tests.join(", ")]
        });
        assert_block("docs/guarantees/mutations.md", name, &table(&["taken away", "in", "what would happen", "what goes red"], rows));
    }
}
