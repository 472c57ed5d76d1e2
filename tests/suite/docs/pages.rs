//! Pages that can be read: no line too long, no page too long, no link into nothing, no page that nobody finds.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::harness::files::{files, root};

/// Longer lines are hard to read in a terminal and in a diff. Rows of tables cannot be broken.
const WIDEST: usize = 160;
/// What somebody reads in ten minutes.
const LONGEST: usize = 2000;
/// A longer table is looked up, not read.
const TABLE: usize = 12;

/// Every page, from the root, with its text.
pub(super) fn all() -> Vec<(String, String)> {
    let others = ["README.md", "migrations/README.md", "sql/README.md"];
    let read = |name: &str| (name.to_string(), std::fs::read_to_string(root().join(name)).unwrap());
    files("docs", "md").into_iter().chain(others.map(read)).collect()
}

/// The lines outside of code blocks, by number.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code && !line.starts_with("    ") {
            lines.push((number, line));
        }
    }
    lines
}

#[test]
fn no_line_outside_of_tables_is_too_long_to_read() {
    let mut wrong = Vec::new();
    for (name, text) in all() {
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('|')) {
            if line.chars().count() > WIDEST {
                wrong.push(format!("{name}:{number} has {} characters", line.chars().count()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} lines are longer than {WIDEST}:\n{}", wrong.len(), wrong.join("\n"));
}

/// The words of a page, without code, generated blocks and tables that are looked up.
fn words_to_read(text: &str) -> usize {
    let mut parts = text.split(super::BEGIN);
    let written: String =
        parts.next().unwrap().to_string() + &parts.filter_map(|rest| Some(rest.split_once(super::END)?.1)).collect::<String>();
    let lines: Vec<&str> = prose(&written).into_iter().map(|(_, line)| line).collect();
    let blocks = lines.chunk_by(|one, next| one.starts_with('|') == next.starts_with('|'));
    let read = blocks.filter(|block| !block[0].starts_with('|') || block.len() <= TABLE + 2);
    read.flatten().flat_map(|line| line.split_whitespace()).filter(|word| *word != "|").count()
}

#[test]
fn every_page_is_read_in_ten_minutes() {
    let long: Vec<String> = all()
        .into_iter()
        .map(|(name, text)| (name, words_to_read(&text)))
        .filter(|(_, words)| *words > LONGEST)
        .map(|(name, words)| format!("{name} has {words} words: split it by what its readers want to know"))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
    let words = all().iter().map(|(_, text)| words_to_read(text)).sum::<usize>();
    assert!(words > 10_000, "only {words} words were found");
}

/// What a heading is called in a link, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text).into_iter().filter(|(_, line)| line.starts_with('#')).map(|(_, line)| anchor(line)).collect()
}

/// The targets of all links to other pages and places of this project.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for target in line.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if !target.starts_with("http") {
                found.push((number, target.to_string()));
            }
        }
    }
    found
}

/// The path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part)
        }
    }
    plain
}

#[test]
fn every_link_leads_to_a_page_and_a_heading_that_are_there() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, text) in all() {
        for (number, target) in links(&text) {
            count += 1;
            let (file, place) = target.split_once('#').unwrap_or((&target, ""));
            let page = if file.is_empty() { PathBuf::from(&name) } else { plain(&Path::new(&name).parent().unwrap().join(file)) };
            let there = root().join(&page);
            if !there.exists() {
                wrong.push(format!("{name}:{number}: there is no {}", page.display()));
            } else if !place.is_empty() && !anchors(&std::fs::read_to_string(there).unwrap()).contains(place) {
                wrong.push(format!("{name}:{number}: {} has no heading #{place}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links into nothing:\n{}", wrong.join("\n"));
    assert!(count > 100, "only {count} links were found");
}

#[test]
fn every_page_that_the_program_and_its_alerts_name_is_there_with_its_heading() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, text) in [files("src", "rs"), files("docs", "yml"), files("sql", "sql")].concat() {
        for rest in text.split("docs/").skip(1) {
            let target: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_/.#".contains(*c)).collect();
            let Some((file, place)) = target.split_once(".md") else { continue };
            count += 1;
            let (page, place) = (format!("docs/{file}.md"), place.trim_end_matches('.').trim_start_matches('#'));
            match std::fs::read_to_string(root().join(&page)) {
                Err(_) => wrong.push(format!("{name}: there is no {page}")),
                Ok(text) if !place.is_empty() && !anchors(&text).contains(place) => {
                    wrong.push(format!("{name}: {page} has no heading #{place}"))
                }
                Ok(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 10, "only {count} were found");
}

#[test]
fn every_page_is_reached_from_the_readme_or_from_the_list_of_pages() {
    let mut reached: BTreeSet<PathBuf> = BTreeSet::new();
    let mut todo = vec![PathBuf::from("README.md")];
    while let Some(page) = todo.pop() {
        if !reached.insert(page.clone()) {
            continue;
        }
        let text = std::fs::read_to_string(root().join(&page)).unwrap();
        let targets = links(&text).into_iter().map(|(_, target)| target.split('#').next().unwrap().to_string());
        let pages = targets.filter(|target| target.ends_with(".md")).map(|target| plain(&page.parent().unwrap().join(target)));
        todo.extend(pages.filter(|page| root().join(page).is_file()));
    }
    let lost: Vec<String> =
        files("docs", "md").into_iter().map(|(name, _)| name).filter(|name| !reached.contains(Path::new(name))).collect();
    assert!(lost.is_empty(), "no link leads to {lost:?}");
}

#[test]
fn every_sqlstate_of_ours_is_explained_and_no_other() {
    // What a dry run raises and catches itself.
    const INTERNAL: &str = "EB099";
    let codes = |text: &str, before: &str| -> BTreeSet<String> {
        let after = text.split(before).skip(1).filter_map(|rest| rest.get(..5));
        after.filter(|code| code.starts_with("EB") && code[2..].chars().all(|c| c.is_ascii_digit())).map(ToString::to_string).collect()
    };
    let raised: BTreeSet<String> =
        files("sql", "sql").iter().flat_map(|(_, text)| codes(text, "'")).filter(|code| code != INTERNAL).collect();
    let explained = codes(&std::fs::read_to_string(root().join("docs/application/refusals.md")).unwrap(), "`");
    assert_eq!(raised, explained, "raised, and explained in docs/application/refusals.md");
    assert!(raised.len() > 40, "{raised:?}");
}

#[test]
fn the_page_of_the_architecture_names_every_room_and_only_what_is_there() {
    let page = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let rooms = page.split("\n## The rooms\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let told: BTreeSet<&str> = rooms.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(room, _)| room).collect();
    let there: BTreeSet<String> = root()
        .join("src")
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(".rs").to_string())
        .filter(|name| !matches!(name.as_str(), "lib" | "main"))
        .collect();
    assert_eq!(
        told.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
        there,
        "the rooms in docs/ARCHITECTURE.md, and those of src/"
    );
    let places = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| ["src/", "sql/", "tests/", "docs/", "benches/"].iter().any(|top| word.starts_with(top)));
    let missing: Vec<&str> = places.filter(|place| !root().join(place).exists()).collect();
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md names what is not there: {missing:?}");
}
