//! The house checks its own habits: what imports what, how long a file may be, where SQL may stand.

use crate::harness::files::{code, files};

/// Each room and what it may import; itself is understood. The sandbox stands beside them all, and only commands know it.
const ROOMS: [(&str, &[&str]); 22] = [
    (
        "cli",
        &["daemon", "config", "doctor", "telemetry", "worker", "export", "admin", "source", "database", "failpoint", "secret", "sandbox"],
    ),
    ("daemon", &["config", "worker", "http", "doctor", "export", "message", "queue", "admin", "source", "store", "mail", "database"]),
    ("config", &["worker", "export", "queue", "admin", "source", "mail", "database", "secret"]),
    ("http", &["admin", "metrics", "database"]),
    ("worker", &["metrics", "export", "message", "queue", "admin", "source", "store", "job", "database"]),
    ("doctor", &["export", "format", "admin", "source", "store", "mail", "job", "database"]),
    ("export", &["source", "store", "format", "job"]),
    ("message", &["store", "mail", "job", "secret"]),
    ("queue", &["job", "database", "sql"]),
    ("admin", &["job", "database", "sql"]),
    ("source", &["job", "database", "sql"]),
    ("store", &["job", "secret"]),
    ("mail", &["job", "secret"]),
    ("format", &["job"]),
    ("job", &["secret"]),
    ("database", &["sql"]),
    ("sql", &[]),
    ("metrics", &[]),
    ("secret", &[]),
    ("telemetry", &[]),
    ("failpoint", &[]),
    ("sandbox", &[]),
];

/// The words that follow `crate::` in a line.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap())
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn a_room_imports_only_from_the_right() {
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for (name, text) in files("src", "rs") {
        let room = name.trim_start_matches("src/").split(['/', '.']).next().unwrap();
        if matches!(room, "lib" | "main") {
            continue;
        }
        let allowed = ROOMS.iter().find(|(known, _)| *known == room).unwrap_or_else(|| panic!("{room} is no room of the map")).1;
        for (number, line) in code(&text) {
            for import in imports(line).filter(|import| !import.is_empty() && *import != room) {
                arrows += 1;
                if !allowed.contains(&import) {
                    wrong.push(format!("{name}:{number}: {room} imports {import}"));
                }
            }
        }
    }
    assert_none("imports against the arrows", &wrong);
    assert!(arrows > 50, "only {arrows} imports were found");
}

#[test]
fn no_file_is_longer_than_500_lines_and_each_says_what_it_is() {
    let mut wrong = Vec::new();
    for (name, text) in [files("src", "rs"), files("tests", "rs"), files("sql", "sql")].concat() {
        if text.lines().count() > 500 {
            wrong.push(format!("{name} has {} lines", text.lines().count()));
        }
        let (first, doc) = (text.lines().next().unwrap_or_default(), if name.ends_with(".rs") { "//! " } else { "-- " });
        if !first.starts_with(doc) {
            wrong.push(format!("{name} begins without a word about itself"));
        }
        // The door of a room says what the room must not know.
        let parts: Vec<&str> = name.split('/').collect();
        if let ["src", room, "mod.rs"] = parts[..]
            && !(3..=10).contains(&text.lines().take_while(|line| line.starts_with("//!")).count())
        {
            wrong.push(format!("the door of {room} does not have 3 to 10 lines of introduction"));
        }
    }
    assert_none("files", &wrong);
}

/// A door of a room, a format and the program may be as short as they are.
const MAY_BE_SHORT: [&str; 3] = ["/mod.rs", "src/main.rs", "src/format/text.rs"];

#[test]
fn a_file_of_the_program_is_long_enough_to_be_opened() {
    let sources = files("src", "rs").into_iter().filter(|(name, _)| !MAY_BE_SHORT.iter().any(|ending| name.ends_with(ending)));
    let short = sources.map(|(name, text)| (name, text.lines().count())).filter(|(_, lines)| *lines < 40);
    assert_none("files to fold into others", &short.map(|(name, lines)| format!("{name} has {lines} lines")).collect::<Vec<_>>());
}

#[test]
fn every_statement_is_one_file_that_is_used_and_carries_its_name() {
    let listed: Vec<String> = exportbox::sql::PLACES.iter().map(|(folder, name)| format!("sql/{folder}/{name}.sql")).collect();
    let there = files("sql", "sql").into_iter().map(|(name, _)| name).filter(|name| !name.starts_with("sql/schema/"));
    assert_eq!(listed, there.collect::<Vec<_>>());
    let sources: String = files("src", "rs").into_iter().filter(|(name, _)| name != "src/sql.rs").map(|(_, text)| text).collect();
    let mut wrong = Vec::new();
    for (name, text) in exportbox::sql::ALL {
        let constant = format!("sql::{}", name.to_ascii_uppercase());
        let uses = sources
            .match_indices(&constant)
            .filter(|(at, _)| !sources[at + constant.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
        if uses.count() == 0 {
            wrong.push(format!("{name} is not used"));
        }
        if !text.starts_with(&format!("-- name: {name}\n-- ")) {
            wrong.push(format!("{name} does not begin with its name and what it does"));
        }
    }
    assert_none("statements", &wrong);
}

#[test]
fn sql_stands_in_sql_files() {
    const ALLOWED: [&str; 12] = [
        "src/sandbox/",
        "src/cli/demo/",
        "src/cli/sandbox.rs",
        "src/admin/migrate.rs",
        "src/queue/listen.rs",
        "src/source/copy.rs",
        "src/source/plan.rs",
        "src/source/sealed.rs",
        "src/source/session.rs",
        "src/format/csv.rs",
        "src/format/jsonl.rs",
        "src/export/parallel/slice.rs",
    ];
    const BEGINNINGS: [&str; 13] = [
        "select ",
        "insert into ",
        "update exportbox",
        "delete from ",
        "with ",
        "create ",
        "alter ",
        "drop ",
        "copy (",
        "listen ",
        "notify ",
        "set local ",
        "truncate ",
    ];
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (name, text) in files("src", "rs") {
        for (number, line) in code(&text) {
            let strings = line.split('"').skip(1).map(str::to_ascii_lowercase);
            if strings.filter(|string| BEGINNINGS.iter().any(|beginning| string.starts_with(beginning))).count() > 0 {
                seen += 1;
                if !ALLOWED.iter().any(|allowed| name.starts_with(allowed)) {
                    wrong.push(format!("{name}:{number}: {line}"));
                }
            }
        }
    }
    assert_none("SQL in Rust", &wrong);
    assert!(seen > 5, "the search finds nothing any more");
}

#[test]
fn only_the_room_of_formats_asks_which_format_a_file_has() {
    let names: Vec<String> = exportbox::format::TABLE.iter().map(|format| format!("\"{}\"", format.name)).collect();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (name, text) in files("src", "rs") {
        for (number, line) in code(&text) {
            let asks = ["format::TABLE", "format::Format", "match format", "match file.format", "format =="];
            // A word may be a type's name, too; a file that is made for a demo may be called after its format.
            let named = names.iter().filter(|word| *word != "\"text\"").any(|word| line.contains(word));
            if named || asks.iter().any(|ask| line.contains(ask)) {
                seen += 1;
                if !name.starts_with("src/format/") && !name.starts_with("src/sandbox/") && !name.starts_with("src/cli/demo/") {
                    wrong.push(format!("{name}:{number}: {}", line.trim()));
                }
            }
        }
    }
    assert_none("who asks for a format", &wrong);
    assert!(seen > 3, "the search finds nothing any more");
}

#[test]
fn nothing_that_ships_panics_by_design() {
    let mut wrong = Vec::new();
    for (name, text) in files("src", "rs") {
        for (number, line) in code(&text) {
            if [".unwrap()", "panic!(", "todo!(", "unimplemented!(", "dbg!(", "#[allow("].iter().any(|word| line.contains(word)) {
                wrong.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    assert_none("panics and allowances", &wrong);
}

/// What the code of `src/` declares with one of these words before the name: path, line number, name.
fn declared(keywords: &[&str]) -> Vec<(String, usize, String)> {
    let mut found = Vec::new();
    for (name, text) in files("src", "rs") {
        for (number, line) in code(&text) {
            for keyword in keywords {
                let Some((before, after)) = line.split_once(&format!("{keyword} ")) else { continue };
                let declares = before
                    .trim()
                    .split(' ')
                    .all(|word| matches!(word, "" | "pub" | "async" | "const" | "unsafe" | "pub(super)" | "pub(crate)"));
                let declared: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if declares && !declared.is_empty() {
                    found.push((name.clone(), number, declared));
                }
            }
        }
    }
    found
}

#[test]
fn no_two_public_types_share_a_name() {
    let public = ["pub", "pub(super)", "pub(crate)"];
    let kinds = ["struct", "enum", "trait", "type", "union"];
    let keywords: Vec<String> = public.iter().flat_map(|public| kinds.iter().map(move |kind| format!("{public} {kind}"))).collect();
    let types = declared(&keywords.iter().map(String::as_str).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for (at, (name, number, declared)) in types.iter().enumerate() {
        if let Some((other, ..)) = types[..at].iter().find(|(.., known)| known == declared) {
            wrong.push(format!("{name}:{number}: {declared} is also in {other}"));
        }
    }
    assert_none("types of one name", &wrong);
    assert!(types.len() > 100, "only {} types were found", types.len());
}

/// Words that the house has another word for: not in the name of a module, a type or a function. Words of Rust and of the services (`try`, `run`,
/// `fail`, `poll`, `abort`) cannot be told apart from ours by their spelling, so they are not in the list.
const RULED_OUT: &str = "
    ack acquire acquired dequeue dequeued discard discarded enqueue enqueued fetch fetched nack notification redrive renew rescue
    look looked looks mark marked marks thorough together touch touched
    keep keeps kept figure figures ruler cutter lane lanes choice examine examined trace
    common utils";

#[test]
fn names_are_made_of_the_words_of_the_house() {
    let mut wrong = Vec::new();
    let names = declared(&["mod", "struct", "enum", "trait", "type", "fn"]);
    for (name, number, declared) in &names {
        let mut words = String::new();
        for c in declared.chars() {
            if c.is_ascii_uppercase() {
                words.push('_');
            }
            words.push(c.to_ascii_lowercase());
        }
        if let Some(word) = words.split('_').find(|word| RULED_OUT.split_whitespace().any(|ruled_out| ruled_out == *word)) {
            wrong.push(format!("{name}:{number}: {declared} says \"{word}\""));
        }
    }
    assert_none("names", &wrong);
    assert!(names.len() > 500, "only {} names were found", names.len());
}

#[test]
fn tests_wait_for_conditions_and_are_called_after_properties() {
    let mut wrong = Vec::new();
    let mut tests = 0;
    // A round of faults is a matter of time; it has no tests in it.
    let exempt = ["/harness/", "/chaos/", "/tidy.rs"];
    for (name, text) in files("tests", "rs").into_iter().filter(|(name, _)| !exempt.iter().any(|exempt| name.contains(exempt))) {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in (1..).zip(&lines) {
            if line.contains("::sleep(") || line.contains(" sleep(") {
                wrong.push(format!("{name}:{number} sleeps"));
            }
            if matches!(line.trim(), "#[test]" | "#[tokio::test]") || line.trim().starts_with("#[tokio::test(") {
                tests += 1;
                let title = lines[number..].iter().find_map(|line| line.split_once("fn ")).unwrap().1.split('(').next().unwrap();
                if title.matches('_').count() < 2 {
                    wrong.push(format!("{name}:{number}: {title} is not a sentence"));
                }
            }
        }
    }
    assert_none("tests", &wrong);
    assert!(tests > 100, "only {tests} tests were found");
}

#[test]
fn every_failpoint_stands_in_the_source_once_and_in_the_list() {
    let mut used: Vec<String> = Vec::new();
    for (_, text) in files("src", "rs") {
        for (_, line) in code(&text) {
            used.extend(line.split("step!(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_string()));
        }
    }
    used.sort();
    let mut listed: Vec<&str> = exportbox::failpoint::POINTS.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(used, listed, "step! in src/ and POINTS in src/failpoint.rs");
}
