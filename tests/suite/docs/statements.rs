//! The lists of sql/README.md, from the statements and the code that runs them.

use std::collections::BTreeSet;

use super::{assert_block, table};
use crate::harness::files::files;

/// The first sentence of a file's opening comment, without its name.
fn sentence(text: &str) -> String {
    let comment = text.lines().map_while(|line| line.strip_prefix("-- ")).filter(|line| !line.starts_with("name: "));
    let comment: Vec<&str> = comment.take_while(|line| !line.starts_with('$')).collect();
    let comment = comment.join(" ");
    comment.split_inclusive(". ").next().unwrap().trim().to_string()
}

/// The files of the schema, in the order in which they run.
pub(super) fn schema() -> String {
    let rows =
        files("sql/schema", "sql").into_iter().map(|(path, text)| vec![format!("`{}`", path.rsplit('/').next().unwrap()), sentence(&text)]);
    table(&["file", "what"], rows)
}

#[test]
fn every_statement_is_listed_under_its_folder_with_the_code_that_runs_it() {
    let sources: Vec<(String, String)> = files("src", "rs").into_iter().filter(|(name, _)| name != "src/sql.rs").collect();
    let folders: BTreeSet<&str> = exportbox::sql::PLACES.iter().map(|(folder, _)| *folder).collect();
    for folder in folders {
        let statements = exportbox::sql::PLACES.iter().zip(exportbox::sql::ALL).filter(|((place, _), _)| *place == folder);
        let rows = statements.map(|(_, (name, text))| {
            let constant = format!("sql::{}", name.to_ascii_uppercase());
            let uses = |code: &str| {
                let mut after = code.split(&constant).skip(1);
                after.any(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
            };
            let users = sources.iter().filter(|(_, code)| uses(code)).map(|(path, _)| format!("`{}`", path.trim_start_matches("src/")));
            vec![format!("`{name}.sql`"), sentence(text), users.collect::<Vec<_>>().join(", ")]
        });
        assert_block("sql/README.md", &format!("statements of {folder}"), &table(&["file", "what", "run by"], rows));
    }
}
