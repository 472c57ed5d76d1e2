//! Every refusal of the door: its SQLSTATE, and a sentence that says what to change.

use crate::harness::World;
use crate::harness::requests::refusal;

/// Column, value as SQL, SQLSTATE, a word of the message, a word of the hint.
const WRONG: &[(&str, &str, &str, &str, &str)] = &[
    ("params", "'[1]'", "EB005", "object", "example"),
    ("params", "'null'", "EB005", "object", "example"),
    ("params", "'{\"A\": 1}'", "EB005", "wrong name", "lower-case"),
    ("params", "'{\"a b\": 1}'", "EB005", "wrong name", "lower-case"),
    ("params", "'{\"a\": [1]}'", "EB005", "plain value", "strings"),
    ("params", "'{\"a\": {}}'", "EB005", "plain value", "strings"),
    ("params", "jsonb_build_object(repeat('a', 42), 1)", "EB005", "wrong name", "lower-case"),
    ("recipients", "array(select 'a' || n || '@example.com' from generate_series(1, 51) as n)", "EB010", "51", "50"),
    ("recipients", "array['ann@example.com', null]", "EB011", "nulls", "array"),
    ("recipients", "array[array['ann@example.com'], array['bob@example.com']]", "EB011", "plain list", "array"),
    ("recipients", "'{ann@example.com,nobody}'", "EB011", "nobody", "plain addresses"),
    ("format", "'xlsx'", "EB020", "xlsx", "csv, text or jsonl"),
    ("format", "'CSV'", "EB020", "CSV", "csv"),
    ("format", "''", "EB020", "unknown format", "csv"),
    ("compression", "'zip'", "EB021", "zip", "none or gzip"),
    ("compression", "'zstd'", "EB021", "zstd", "none or gzip"),
    ("format_options", "'[]'", "EB022", "object", "delimiter"),
    ("format_options", "'\"header\"'", "EB022", "object", "delimiter"),
    ("format_options", "'null'", "EB022", "object", "delimiter"),
    ("format_options", "'{\"colour\": \"red\"}'", "EB022", "colour", "delimiter"),
    ("format_options", "'{\"HEADER\": true}'", "EB022", "HEADER", "header"),
    ("format_options", "'{\"header\": \"yes\"}'", "EB022", "header", "true or false"),
    ("format_options", "'{\"header\": null}'", "EB022", "header", "true or false"),
    ("format_options", "'{\"header\": \"match\"}'", "EB022", "header", "true or false"),
    ("format_options", "'{\"formula_guard\": 1}'", "EB022", "formula_guard", "true or false"),
    ("format_options", "'{\"delimiter\": \"\"}'", "EB022", "delimiter", "single-byte"),
    ("format_options", "'{\"delimiter\": \"||\"}'", "EB022", "delimiter", "single-byte"),
    ("format_options", "'{\"delimiter\": \"€\"}'", "EB022", "delimiter", "single-byte"),
    ("format_options", "'{\"delimiter\": \"\\n\"}'", "EB022", "delimiter", "single-byte"),
    ("format_options", "'{\"delimiter\": 9}'", "EB022", "delimiter", "single-byte"),
    ("format_options", "'{\"delimiter\": \"\\\"\"}'", "EB022", "same character", "another"),
    ("format_options", "'{\"quote\": \"\\r\"}'", "EB022", "quote", "single-byte"),
    ("format_options", "'{\"quote\": \",\"}'", "EB022", "same character", "another"),
    ("format_options", "'{\"escape\": \"ab\"}'", "EB022", "escape", "single-byte"),
    ("format_options", "'{\"null\": 0}'", "EB022", "null", "string"),
    ("format_options", "'{\"null\": \"a\\nb\"}'", "EB022", "null", "line breaks"),
    ("format_options", "'{\"null\": \"a,b\"}'", "EB022", "contains the delimiter", "without them"),
    ("format_options", "'{\"null\": \"\\\"\"}'", "EB022", "quote character", "without them"),
    ("format_options", "'{\"encoding\": \"KLINGON\"}'", "EB022", "encoding", "UTF8"),
    ("format_options", "'{\"encoding\": 8}'", "EB022", "encoding", "UTF8"),
    ("format_options", "'{\"force_quote\": \"name\"}'", "EB022", "force_quote", "column names"),
    ("format_options", "'{\"force_quote\": []}'", "EB022", "force_quote", "column names"),
    ("format_options", "'{\"force_quote\": [1]}'", "EB022", "force_quote", "column names"),
    ("format_options", "'{\"force_quote\": true}'", "EB022", "force_quote", "column names"),
    ("format_options", "'{\"default\": \"x\"}'", "EB022", "default", "Allowed"),
    ("format, format_options", "'jsonl', '{\"header\": true}'", "EB022", "jsonl", "no options"),
    ("format, format_options", "'text', '{\"header\": true}'", "EB022", "text", "delimiter, null, encoding"),
    ("format, format_options", "'text', '{\"quote\": \"x\"}'", "EB022", "text", "delimiter"),
    ("format, format_options", "'text', '{\"delimiter\": \"a\"}'", "EB022", "format text", "other than"),
    ("format, format_options", "'text', '{\"delimiter\": \"\\\\\"}'", "EB022", "format text", "other than"),
    ("format, format_options", "'text', '{\"null\": \"a\\tb\"}'", "EB022", "delimiter", "without them"),
    ("filename", "''", "EB023", "filename", "180"),
    ("filename", "'  '", "EB023", "filename", "180"),
    ("filename", "'.'", "EB023", "filename", "180"),
    ("filename", "'..'", "EB023", "filename", "180"),
    ("filename", "'a/b.csv'", "EB023", "filename", "slashes"),
    ("filename", "'../../etc/passwd'", "EB023", "filename", "slashes"),
    ("filename", "E'a\\\\b.csv'", "EB023", "filename", "backslashes"),
    ("filename", "E'a\\nb.csv'", "EB023", "filename", "control"),
    ("filename", "E'a.csv\\r\\nX-Injected: 1'", "EB023", "filename", "control"),
    ("filename", "E'a\\x7f.csv'", "EB023", "filename", "control"),
    ("filename", "U&'a\\0085.csv'", "EB023", "filename", "control"),
    ("filename", "repeat('a', 181)", "EB023", "filename", "180"),
    ("idempotency_key", "''", "EB040", "idempotency_key", "short key"),
    ("idempotency_key", "repeat('k', 201)", "EB040", "200", "short key"),
    ("run_at", "'infinity'", "EB030", "infinity", "not_after"),
    ("run_at", "'-infinity'", "EB030", "infinity", "not_after"),
    ("not_after", "'infinity'", "EB030", "infinity", "never expires"),
    ("not_after", "'-infinity'", "EB030", "infinity", "never expires"),
    ("not_after", "now() - interval '1 hour'", "EB030", "in the past", "later"),
    ("not_after", "now()", "EB030", "in the past", "later"),
    ("run_at, not_after", "now() + interval '2 hours', now() + interval '1 hour'", "EB030", "not later than run_at", "after run_at"),
    ("run_at, not_after", "now() + interval '2 hours', now() + interval '2 hours'", "EB030", "not later than run_at", "after run_at"),
    ("priority", "-1", "EB031", "-1", "0 (first) to 9"),
    ("priority", "10", "EB031", "10", "0 (first) to 9"),
    ("timeout", "'0 s'", "EB032", "timeout", "1 second to 7 days"),
    ("timeout", "'999 ms'", "EB032", "timeout", "1 second to 7 days"),
    ("timeout", "'-1 hour'", "EB032", "timeout", "1 second to 7 days"),
    ("timeout", "'7 days 1 s'", "EB032", "timeout", "1 second to 7 days"),
    ("max_attempts", "0", "EB033", "0", "1 to 100"),
    ("max_attempts", "101", "EB033", "101", "1 to 100"),
    ("link_ttl", "'59 s'", "EB034", "link_ttl", "1 minute to 7 days"),
    ("link_ttl", "'8 days'", "EB034", "link_ttl", "1 minute to 7 days"),
    ("link_ttl", "'1 month'", "EB034", "link_ttl", "1 minute to 7 days"),
    ("subject", "''", "EB035", "subject", "200"),
    ("subject", "'   '", "EB035", "subject", "200"),
    ("subject", "E'Orders\\r\\nBcc: eve@example.com'", "EB035", "subject", "line breaks"),
    ("subject", "E'a\\tb'", "EB035", "subject", "control"),
    ("subject", "U&'a\\0085b'", "EB035", "subject", "control"),
    ("subject", "repeat('s', 201)", "EB035", "subject", "200"),
    ("message", "repeat('m', 4001)", "EB035", "message", "4000"),
    ("message", "E'bell\\x07'", "EB035", "message", "plain text"),
    ("message", "E'escape\\x1b[31m'", "EB035", "message", "plain text"),
    ("metadata", "'[]'", "EB036", "object", "invoice"),
    ("metadata", "'\"text\"'", "EB036", "object", "invoice"),
    ("metadata", "'null'", "EB036", "object", "invoice"),
];

#[tokio::test]
async fn every_wrong_value_is_refused_by_insert_and_by_call_alike_and_leaves_nothing() {
    let world = World::new().await;
    let app = world.app().await;
    for (columns, values, code, message, hint) in WRONG {
        let arguments: Vec<String> = if columns.contains(", ") {
            let (first, second) = columns.split_once(", ").unwrap();
            let (one, other) = values.split_once(", ").unwrap();
            vec![format!("{first} => {one}"), format!("{second} => {other}")]
        } else {
            vec![format!("{columns} => {values}")]
        };
        let insert = format!("insert into exportbox.outbox (query, {columns}) values ('select 1', {values})");
        let skipping = format!("{insert} on conflict do nothing");
        let call = format!("select exportbox.request_export(query => 'select 1', {})", arguments.join(", "));
        for statement in [insert, skipping, call] {
            let said = refusal(&app, &statement).await;
            assert_eq!(said.code, *code, "{statement}: {said:?}");
            assert!(said.message.contains(message), "{statement}: {said:?} lacks {message:?}");
            assert!(said.hint.contains(hint), "{statement}: {said:?} lacks {hint:?}");
        }
    }
    assert_eq!(world.requests_and_jobs().await, (0, 0));
}

/// Statement, SQLSTATE, a word of the message, a word of the hint.
const WRONG_SOURCES: &[(&str, &str, &str, &str)] = &[
    ("insert into exportbox.outbox (recipients) values ('{}')", "EB001", "neither", "exactly one"),
    ("insert into exportbox.outbox default values", "EB001", "neither", "exactly one"),
    ("insert into exportbox.outbox (report, query) values ('sales', 'select 1')", "EB001", "both", "exactly one"),
    ("select exportbox.request_export()", "EB001", "neither", "exactly one"),
    ("insert into exportbox.outbox (report) values ('no_such_report')", "EB002", "no_such_report", "register_report"),
    ("insert into exportbox.outbox (report) values ('')", "EB002", "no report", "catalogue"),
    ("insert into exportbox.outbox (query) values ('')", "EB004", "empty", "SELECT"),
    ("insert into exportbox.outbox (query) values (E' \\n\\t ')", "EB004", "empty", "SELECT"),
];

#[tokio::test]
async fn a_request_names_either_a_known_report_or_a_query() {
    let world = World::new().await;
    let app = world.app().await;
    for (statement, code, message, hint) in WRONG_SOURCES {
        let said = refusal(&app, statement).await;
        assert_eq!(said.code, *code, "{statement}: {said:?}");
        assert!(said.message.contains(message) && said.hint.contains(hint), "{statement}: {said:?}");
    }
    assert_eq!(world.requests_and_jobs().await, (0, 0));
}

#[tokio::test]
async fn one_bad_row_refuses_the_whole_statement() {
    let world = World::new().await;
    let app = world.app().await;
    let bulk = "insert into exportbox.outbox (query, priority) select 'select 1', case n when 57 then 11 else 5 end from generate_series(1, 100) as n";
    assert_eq!(refusal(&app, bulk).await.code, "EB031");
    let rows = "insert into exportbox.outbox (query) values ('select 1'), (''), ('select 2')";
    assert_eq!(refusal(&app, rows).await.code, "EB004");
    assert_eq!(world.requests_and_jobs().await, (0, 0));
}

#[tokio::test]
async fn a_refusal_takes_the_business_change_of_its_transaction_with_it() {
    let world = World::new().await;
    let app = world.app().await;
    app.batch_execute("create table orders (id int)").await.unwrap();
    let said =
        refusal(&app, "begin; insert into orders values (1); insert into exportbox.outbox (query, priority) values ('select 1', 10)").await;
    assert_eq!(said.code, "EB031");
    app.batch_execute("rollback").await.unwrap();
    assert_eq!(world.count("select count(*) from orders").await, 0);
    assert_eq!(world.requests_and_jobs().await, (0, 0));
}

#[tokio::test]
async fn a_request_never_changes_once_it_is_made() {
    let world = World::new().await;
    let id = world.request("select 1", &[]).await;
    for change in ["set priority = 1", "set query = 'select 2'", "set requested_by = 'eve'", "set id = exportbox.new_id() where false"] {
        let said = refusal(&world.admin, &format!("update exportbox.outbox {change}")).await;
        assert_eq!(said.code, "EB050", "{change}");
        assert!(said.hint.contains("exportbox.cancel"), "{said:?}");
    }
    // The application has no such right to begin with.
    let app = world.app().await;
    assert_eq!(refusal(&app, &format!("update exportbox.outbox set id = '{id}'")).await.code, "42501");
    assert_eq!(refusal(&app, "delete from exportbox.outbox").await.code, "42501");
    // Nor where somebody granted it, whatever it sets.
    world.sql("grant update on exportbox.outbox to app; grant select on exportbox.outbox to app").await;
    app.batch_execute("set exportbox.erasing = 'on'").await.unwrap();
    assert_eq!(refusal(&app, "update exportbox.outbox set query = 'select 2'").await.code, "EB050");
    assert_eq!(world.text("select query from exportbox.outbox").await, "select 1");
}
