//! The papers agree with the program: every test that the threat model names is there, and the policies allow what the program calls and no more.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::files::{files, root};

fn paper(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every test of the project under its path: `security::canary::…` of the suite, `secret::tests::…` of the library.
fn all_tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, text) in [files("tests/suite", "rs"), files("src", "rs")].concat() {
        let in_library = name.starts_with("src/");
        let module = name.trim_start_matches("tests/suite/").trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        let module = format!("{}{}", module.replace('/', "::"), if in_library { "::tests" } else { "" });
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if line == "#[test]" || line.starts_with("#[tokio::test") {
                marked = true;
            } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| marked) {
                found.insert(format!("{module}::{}", rest.split('(').next().unwrap()));
                marked = false;
            }
        }
    }
    found
}

/// Words in backticks that look like the path of a test.
fn named(text: &str) -> BTreeSet<String> {
    let is_path =
        |word: &&str| word.contains("::") && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c));
    text.split('`').skip(1).step_by(2).filter(is_path).map(ToString::to_string).collect()
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let (tests, text) = (all_tests(), paper("docs/threats.md"));
    let named = named(&text);
    let missing: Vec<&String> = named.difference(&tests).collect();
    assert!(missing.is_empty(), "docs/threats.md names tests that do not exist: {missing:#?}");
    assert!(named.len() > 40 && tests.len() > 250, "{} of {}", named.len(), tests.len());
}

#[test]
fn every_threat_has_a_defence_and_a_test() {
    let text = paper("docs/threats.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
    let mut threats = 0;
    for row in rows.iter().filter(|row| !row.starts_with("| threat ") && !row.starts_with("| --- ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
        assert!(!named(cells[2]).is_empty(), "no test shows the defence: {row}");
        threats += 1;
    }
    assert!(threats > 25, "{threats} threats");
}

/// What each call of the SDK needs.
const CALLS: [(&str, &[&str]); 12] = [
    (".put_object()", &["s3:PutObject"]),
    (".create_multipart_upload()", &["s3:PutObject"]),
    (".upload_part()", &["s3:PutObject"]),
    (".complete_multipart_upload()", &["s3:PutObject"]),
    (".abort_multipart_upload()", &["s3:AbortMultipartUpload"]),
    (".get_object()", &["s3:GetObject"]),
    // Without the list right a HEAD of a missing object is refused instead of answered.
    (".head_object()", &["s3:GetObject", "s3:ListBucket"]),
    (".head_bucket()", &["s3:ListBucket"]),
    (".delete_object()", &["s3:DeleteObject"]),
    (".list_multipart_uploads()", &["s3:ListBucketMultipartUploads"]),
    (".send_email()", &["ses:SendEmail", "ses:SendRawEmail"]),
    (".get_account()", &["ses:GetAccount"]),
];
/// What `doctor` alone asks, with rights of its own.
const QUESTIONS: [(&str, &[&str]); 1] = [(".get_email_identity()", &["ses:GetEmailIdentity"])];
const LIST_OBJECTS: (&str, &[&str]) = (".list_objects_v2()", &["s3:ListBucket"]);

fn policy(name: &str) -> Vec<Value> {
    let policy: Value = serde_json::from_str(&paper(&format!("docs/iam/{name}.json"))).unwrap();
    assert_eq!(policy["Version"], "2012-10-17");
    policy["Statement"].as_array().unwrap().clone()
}

fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap().to_string()).collect(),
        one => vec![one.as_str().unwrap().to_string()],
    }
}

#[test]
fn the_daemons_policy_allows_what_the_program_calls_and_nothing_more() {
    let sources: Vec<(String, String)> = [files("src/store", "rs"), files("src/mail", "rs")].concat();
    let mut needed: BTreeSet<String> = ["kms:GenerateDataKey".into(), "kms:Decrypt".into()].into();
    let (mut known, mut asked) = (0, BTreeSet::new());
    for (_, text) in &sources {
        for (call, actions) in CALLS.iter().chain([&LIST_OBJECTS]).filter(|(call, _)| text.contains(call)) {
            assert!(!call.is_empty());
            needed.extend(actions.iter().map(ToString::to_string));
            known += text.matches(call).count();
        }
        for (call, actions) in QUESTIONS.iter().filter(|(call, _)| text.contains(call)) {
            asked.extend(actions.iter().map(ToString::to_string));
            known += text.matches(call).count();
        }
    }
    let actions = |name| -> BTreeSet<String> { policy(name).iter().flat_map(|statement| words(&statement["Action"])).collect() };
    assert_eq!((actions("daemon"), actions("doctor")), (needed, asked));
    // A call that the list above does not know would be refused in production first.
    let calls: usize = sources.iter().map(|(_, text)| operations(text)).sum();
    assert_eq!(calls, known, "an operation of the SDK is called whose right nobody has thought about");
}

/// Calls of an SDK client in a text: `.client` or `_client`, then the operation. Everything else of the SDK hangs on these.
fn operations(text: &str) -> usize {
    let text: String = text.split("#[cfg(test)]").next().unwrap().split_whitespace().collect();
    ["client."]
        .iter()
        .flat_map(|client| text.match_indices(client))
        .filter(|(at, client)| {
            let rest = &text[at + client.len()..];
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_' || c.is_ascii_digit()).collect();
            name.contains('_') && rest[name.len()..].starts_with("()")
        })
        .count()
}

#[test]
fn every_statement_of_a_policy_is_narrow_and_explained() {
    let explained = paper("docs/iam.md");
    for (name, text) in files("docs/iam", "json") {
        let name = name.trim_start_matches("docs/iam/").trim_end_matches(".json");
        assert!(explained.contains(&format!("iam/{name}.json")), "{name} is not explained");
        let _: Value = serde_json::from_str(&text).unwrap();
        for statement in policy(name) {
            let sid = statement["Sid"].as_str().unwrap();
            assert!(explained.contains(&format!("`{sid}`")), "{name}: {sid} is not explained");
            let allows = statement["Effect"] == "Allow";
            let wide = words(&statement["Action"]).iter().any(|action| action.contains('*'));
            assert!(!allows || !wide || sid == "AdministeredByIam", "{name}: {sid} allows {}", statement["Action"]);
            if let Some(resource) = statement.get("Resource") {
                let everything = words(resource).contains(&"*".to_string());
                // In a key's own policy the star is the key; the account as a whole has no name to write.
                let is_of_account = words(&statement["Action"]) == ["ses:GetAccount"];
                assert!(!allows || !everything || name == "key" || is_of_account, "{name}: {sid} is about everything");
            }
        }
    }
    let database: Vec<String> = policy("database").iter().flat_map(|statement| words(&statement["Action"])).collect();
    assert_eq!(
        database,
        ["s3:PutObject", "s3:AbortMultipartUpload", "kms:GenerateDataKey", "kms:Decrypt"],
        "the database's role only writes"
    );
    let tls = policy("bucket");
    assert!(tls.iter().any(|statement| statement["Condition"]["Bool"]["aws:SecureTransport"] == "false" && statement["Effect"] == "Deny"));
    // Our own writes name no encryption: a policy that wants the header would refuse all of them.
    for statement in tls.iter().filter(|statement| statement["Condition"].to_string().contains("server-side-encryption")) {
        assert_eq!(statement["Condition"]["Null"].as_object().unwrap().values().next().unwrap(), "false", "{statement}");
    }
}
