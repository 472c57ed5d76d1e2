//! Parameters are data: whatever stands in a field of a request, nothing but the value arrives, in both exporters.

use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::harness::World;
use crate::harness::requests::refusal;

/// What has broken out of statements elsewhere, by trade.
const CORPUS: &[&str] = &[
    // Quotes.
    "'",
    "''",
    "'''",
    "\"",
    "\\'",
    "\\",
    "\\\\",
    "x' or '1'='1",
    "x'; drop table canary; --",
    "E'\\x27",
    "U&'\\0027'",
    "'||(select 1)||'",
    "B'1'",
    "\\x27",
    // Dollar quotes.
    "$$",
    "$$; drop table canary; $$",
    "$q$",
    "$x$; drop table canary; $x$",
    "$1",
    "${1}",
    "$",
    "$$$$",
    // Comments and ends of statements.
    "--",
    "-- \n",
    "/*",
    "*/",
    "/* x */",
    "/*/**/",
    ";",
    ";;",
    "x -- y",
    "#",
    "\n\\.\n",
    "\\.",
    "\\N",
    "\r\n.\r\n",
    // Parentheses and COPY.
    ")",
    "(",
    "); drop table canary; --",
    ") to program 'touch broken' --",
    ") to stdout; copy (select 1",
    "x) as line; select (1",
    "\n) to stdout with (format binary",
    // Unicode: other quotes, full width, directions, joiners, a byte order mark, both normal forms, line ends, beyond the first plane.
    "\u{2019}",
    "\u{02bc}",
    "\u{ff07}; drop table canary",
    "\u{ff1b}",
    "\u{202e}txt.exe",
    "a\u{200d}b\u{200b}c",
    "\u{feff}x",
    "caf\u{e9} cafe\u{301}",
    "a\u{2028}b\u{2029}c\u{85}d",
    "\u{1f389}\u{1f468}\u{200d}\u{1f469}",
    "\u{10ffff}",
    "\u{c0}\u{27}",
    "\u{bf}'",
    "%u0027",
    "&#39;",
    "%27",
    // Settings.
    "x', true); select set_config('role', 'postgres', false); --",
    "exportbox.param_other=1",
    "off",
    "default",
    "none",
    "on; set role postgres",
    "$user",
    "= 'x'",
    "to default",
    "-c role=postgres",
    // Formats, templates, shells, spreadsheets, JSON.
    "%s",
    "%I %L %1$s %%",
    "{}",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "${jndi:ldap://x}",
    "`touch broken`",
    "$(touch broken)",
    "| touch broken",
    "\\! touch broken",
    ":value",
    ":'value'",
    "=1+1",
    "@x",
    "+1",
    "-1",
    "\t=1",
    "{\"a\": \"b\"}",
    "\",\"value\":\"x",
    "null",
    "NULL",
    "true",
    "",
    " ",
    "\t",
    "\n",
    "\r",
    "\u{1}\u{1b}[31m\u{7f}",
];

/// What the session of the export looks like from inside, beside the value.
const ECHO: &str = "select exportbox.param('value') as value, current_user as who, current_setting('exportbox.param_other', true) as other,
    current_setting('transaction_read_only') as read_only, current_setting('timezone') as timezone, (select count(*) from public.canary) as canaries";

async fn worlds() -> Vec<(World, String, &'static str)> {
    let mut worlds = Vec::new();
    for (world, exporter) in [(World::new().await, "copy"), (World::with_aws_s3().await, "aws_s3")] {
        let role = world.exporting_role(exporter);
        world.sql(&format!("create table public.canary as select 1 as n; grant all on public.canary to {role}, app")).await;
        let register = "select exportbox.register_report('echo', $1, '{\"value\": \"text\"}', $2)";
        world.admin.query_one(register, &[&ECHO, &role]).await.unwrap();
        worlds.push((world, role, exporter));
    }
    worlds
}

/// Nothing has happened but the exports that were asked for.
async fn assert_unharmed(world: &World, exports: usize) {
    assert_eq!(world.count("select count(*) from public.canary").await, 1);
    assert_eq!(world.count("select count(*) from exportbox.outbox").await, i64::try_from(exports).unwrap());
    assert_eq!(world.count("select count(*) from exportbox.jobs where kind = 'export'").await, i64::try_from(exports).unwrap());
    assert_eq!(world.count("select count(*) from exportbox.report").await, 1);
    assert!(!std::path::Path::new("broken").exists() && !world.dir().join("broken").exists());
}

async fn assert_arrived(world: &World, id: Uuid, value: &str, role: &str, exporter: &str) {
    let expected = json!({"value": value, "who": role, "other": null, "read_only": "on", "timezone": "UTC", "canaries": 1});
    let stored = String::from_utf8(world.stored(id).await).unwrap();
    // One line, whatever is in it.
    assert_eq!(stored.lines().count(), 1, "{value:?}: {stored}");
    assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), expected, "{value:?}");
    assert_eq!(world.exporters(id).await, [exporter]);
}

#[tokio::test]
async fn a_parameter_arrives_as_it_was_given_and_nothing_else_of_it_does() {
    for (world, role, exporter) in worlds().await {
        let app = world.app().await;
        let call = "select exportbox.request_export('echo', params => $1, format => 'jsonl')";
        let mut ids = Vec::new();
        let huge = format!("'; drop table canary; -- {}$$", "x'\"\\\u{1f389}".repeat(150_000));
        assert!(huge.len() > 1_000_000);
        for value in CORPUS.iter().copied().chain([huge.as_str()]) {
            let id: Uuid = app.query_one(call, &[&json!({ "value": value })]).await.unwrap().get(0);
            ids.push((id, value));
        }
        let nothing: Uuid = app.query_one(call, &[&json!({ "value": null })]).await.unwrap().get(0);
        world.complete(&ids.iter().map(|(id, _)| *id).chain([nothing]).collect::<Vec<_>>()).await;
        for (id, value) in &ids {
            assert_arrived(&world, *id, value, &role, exporter).await;
        }
        let stored: Value = serde_json::from_slice(&world.stored(nothing).await).unwrap();
        assert_eq!(stored["value"], Value::Null, "a null is no empty string");
        assert_unharmed(&world, ids.len() + 1).await;
    }
}

/// The columns of a request, in the order of the arguments below.
const INSERT: &str =
    "insert into exportbox.outbox (report, params, recipients, format, compression, format_options, filename, idempotency_key,
    subject, message, metadata) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id";

/// A request to `echo` with this text in one field. `None`: the door refused it, in words of its own.
async fn ask(app: &Client, field: &str, text: &str) -> Option<Uuid> {
    let word = |name: &str, usual: &str| if field == name { text.to_string() } else { usual.to_string() };
    let some = |name: &str| (field == name).then(|| text.to_string());
    let value = json!({"value": "plain"});
    let params = if field == "parameter" { json!({"value": "plain", text: "x"}) } else { value };
    // Only what the mail shows is mailed.
    let mailed = matches!(field, "recipient" | "subject" | "message");
    let recipients = if mailed { vec![word("recipient", "ann@example.com")] } else { Vec::new() };
    let options = match field {
        "delimiter" | "null" | "quote" | "escape" | "encoding" => json!({ field: text }),
        "force_quote" => json!({"force_quote": [text]}),
        "option" => json!({ text: "x" }),
        _ => json!({}),
    };
    let format = if options == json!({}) && !matches!(field, "delimiter" | "option") { "jsonl" } else { "csv" };
    let asked = app
        .query_one(
            INSERT,
            &[
                &word("report", "echo"),
                &params,
                &recipients,
                &word("format", format),
                &word("compression", "none"),
                &options,
                &some("filename"),
                &some("idempotency_key"),
                &some("subject"),
                &some("message"),
                &json!({ "note": word("metadata", "") }),
            ],
        )
        .await;
    match asked {
        Ok(row) => Some(row.get(0)),
        Err(error) => {
            let said = error.as_db_error().unwrap_or_else(|| panic!("{field} {text:?}: {error}"));
            assert!(said.code().code().starts_with("EB"), "{field} {text:?}: {said:?}");
            None
        }
    }
}

const FIELDS: [&str; 17] = [
    "report",
    "parameter",
    "recipient",
    "format",
    "compression",
    "option",
    "delimiter",
    "null",
    "quote",
    "escape",
    "encoding",
    "force_quote",
    "filename",
    "idempotency_key",
    "subject",
    "message",
    "metadata",
];

#[tokio::test]
async fn no_field_of_a_request_is_anything_but_a_value() {
    for (world, role, exporter) in worlds().await {
        let app = world.app().await;
        let mut asked = Vec::new();
        for field in FIELDS {
            // Where each export starts a program, a sample is enough, and a smaller one of what never comes near the database's session.
            let step = match (field, exporter) {
                ("filename" | "idempotency_key" | "subject" | "message" | "metadata", "aws_s3") => 9,
                (_, "aws_s3") => 3,
                _ => 1,
            };
            for text in CORPUS.iter().step_by(step) {
                if let Some(id) = ask(&app, field, text).await {
                    asked.push((field, *text, id));
                }
            }
        }
        assert!(asked.len() > 120, "only {} were taken", asked.len());
        world.drain().await;
        for (field, text, id) in &asked {
            let export = world.export(*id).await;
            if *field == "force_quote" && export["state"] == "dead" {
                // It names a column, and there is none of that name.
                assert!(export["error"].as_str().unwrap().contains("42703"), "{text:?}: {export}");
                continue;
            }
            assert_eq!((&export["state"], &export["undelivered"]), (&"completed".into(), &0.into()), "{field} {text:?}: {export}");
            match *field {
                "option" | "delimiter" | "null" | "quote" | "escape" | "encoding" | "force_quote" => {
                    let stored = String::from_utf8_lossy(&world.stored(*id).await).into_owned();
                    assert!(stored.contains("plain") && stored.contains(&role), "{field} {text:?}: {stored}");
                    assert!(*field != "null" || stored.contains(text), "{text:?}: {stored}");
                }
                _ => assert_arrived(&world, *id, "plain", &role, exporter).await,
            }
            let (_, key) = (text, world.manifest(*id).await["key"].as_str().unwrap().to_string());
            assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || "/.-_".contains(c)), "{field} {text:?}: {key}");
        }
        assert_unharmed(&world, asked.len()).await;
        world.assert_store_is_clean().await;
    }
}

#[tokio::test]
async fn what_json_or_postgresql_cannot_hold_is_refused_by_the_insert() {
    let (world, ..) = worlds().await.remove(0);
    let app = world.app().await;
    for (value, code) in [(r#""a\u0000b""#, "22P05"), (r#""\ud800""#, "22P02"), (r#""\x""#, "22P02"), ("{", "22P02")] {
        let said = refusal(&app, &format!(r#"select exportbox.request_export('echo', params => '{{"value": {value}}}')"#)).await;
        assert_eq!(said.code, code, "{value}: {said:?}");
    }
    let said = app.batch_execute("select exportbox.request_export('echo', params => E'{\"value\": \"\\x00\"}')").await;
    assert!(said.is_err(), "a NUL");
    assert_unharmed(&world, 0).await;
}

#[tokio::test]
async fn what_a_session_had_before_is_no_value_and_an_empty_one_is() {
    let world = World::new().await;
    let session = world.another_admin().await;
    // A pooler hands the session on; PostgreSQL keeps a setting that it once had as an empty text.
    session.batch_execute("begin; select set_config('exportbox.param_region', 'north', true); rollback").await.unwrap();
    let reads = "select current_setting('exportbox.param_region', true) = '' and exportbox.param('region') is null";
    assert!(session.query_one(reads, &[]).await.unwrap().get::<_, bool>(0));
    let register = "select exportbox.register_report('texts', $1, '{\"a\": \"text\", \"b\": \"text\"}', 'app')";
    world.row(register, &[&"select exportbox.param('a') is null as a, exportbox.param('b') = '' as b"]).await;
    let id = world.request_report("texts", serde_json::json!({"b": ""}), "").await;
    world.complete(&[id]).await;
    assert_eq!(world.stored(id).await, b"a,b\nt,t\n");
}
