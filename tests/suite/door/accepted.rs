//! Right requests: taken at the door, and then never refused by COPY, the store or the mail.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::harness::World;

/// Columns and values, beside a query.
const RIGHT: &[(&str, &str)] = &[
    ("params", "'{\"a\": 1, \"_b\": \"x\", \"c\": null, \"d\": true}'"),
    ("params", "jsonb_build_object(repeat('a', 41), 1)"),
    ("recipients", "'{}'"),
    ("recipients", "array(select 'a' || n || '@example.com' from generate_series(1, 50) as n)"),
    ("format", "'text'"),
    ("format", "'jsonl'"),
    ("format, compression", "'jsonl', 'gzip'"),
    ("format_options", "'{}'"),
    ("format_options", "'{\"header\": false, \"formula_guard\": true}'"),
    ("format_options", "'{\"delimiter\": \"\\t\", \"null\": \"NULL\", \"quote\": \"''\", \"escape\": \"\\\\\"}'"),
    ("format_options", "'{\"force_quote\": \"*\", \"encoding\": \"LATIN1\"}'"),
    ("format_options", "'{\"force_quote\": [\"n\"]}'"),
    ("format_options", "'{\"null\": \"\"}'"),
    ("format, format_options", "'text', '{\"delimiter\": \"|\", \"null\": \"-\"}'"),
    ("filename", "'Umsätze März 2026 (final).csv'"),
    ("filename", "'.hidden'"),
    ("filename", "repeat('ü', 180)"),
    ("filename", "'100% \"sure\"; a=b&c#d?.csv'"),
    ("idempotency_key", "repeat('k', 200)"),
    ("run_at", "now() - interval '10 years'"),
    ("run_at", "'epoch'"),
    ("not_after", "now() + interval '1 hour'"),
    ("priority", "0"),
    ("priority", "9"),
    ("timeout", "'1 s'"),
    ("timeout", "'7 days'"),
    ("max_attempts", "1"),
    ("max_attempts", "100"),
    ("link_ttl", "'1 minute'"),
    ("link_ttl", "'7 days'"),
    ("subject", "'Ihre Umsätze 📈'"),
    ("subject", "repeat('s', 200)"),
    ("message", "E'Dear Ann,\\r\\n\\r\\n\\there it is.\\nYours'"),
    ("message", "''"),
    ("message", "repeat('m', 4000)"),
    ("metadata", "'{\"a\": [1, {\"b\": null}]}'"),
];

#[tokio::test]
async fn every_right_value_is_taken_and_comes_to_a_file() {
    let world = World::new().await;
    let app = world.app().await;
    for (columns, values) in RIGHT {
        let insert = format!("insert into exportbox.outbox (query, {columns}) values ('select 1 as n', {values})");
        app.batch_execute(&insert).await.unwrap_or_else(|error| panic!("{error:?}: {insert}"));
    }
    let made = i64::try_from(RIGHT.len()).unwrap();
    assert_eq!(world.requests_and_jobs().await, (made, made));
    // A second is enough for one row, but not on every machine at every moment.
    world.set_jobs("timeout = interval '1 hour'", "timeout = interval '1 second'").await;
    world.drain().await;
    let unfinished = "select string_agg(state || ' ' || coalesce(error, ''), '; ') from exportbox.exports where state <> 'completed'";
    assert_eq!(world.text(unfinished).await, "");
}

fn byte() -> impl Strategy<Value = Value> {
    prop_oneof![4 => "[ -~\\t]".prop_map(Value::from), 1 => Just(json!("\u{1}")), 1 => Just(json!("")), 1 => Just(json!("€"))]
}

fn options() -> impl Strategy<Value = Value> {
    let null_text = prop_oneof!["[ -~]{0,4}".prop_map(Value::from), Just(json!("\\N")), Just(json!("ü")), Just(Value::Null)];
    let encoding =
        prop::sample::select(vec!["UTF8", "latin1", "WIN1252", "SQL_ASCII", "EUC_JP", "SJIS", "MULE_INTERNAL", "GB18030", "BIG5", "nope"]);
    let force_quote =
        prop_oneof![Just(json!("*")), Just(json!(["a"])), Just(json!(["a", "b c"])), Just(json!(["a", "a"])), Just(json!([]))];
    let maybe = |value: BoxedStrategy<Value>| prop::option::weighted(0.3, value);
    let named = (
        maybe(any::<bool>().prop_map(Value::from).boxed()),
        maybe(byte().boxed()),
        maybe(null_text.boxed()),
        maybe(byte().boxed()),
        maybe(byte().boxed()),
        maybe(force_quote.boxed()),
        maybe(encoding.prop_map(Value::from).boxed()),
        maybe(any::<bool>().prop_map(Value::from).boxed()),
    );
    named.prop_map(|(header, delimiter, null, quote, escape, force_quote, encoding, guard)| {
        let all = [
            ("header", header),
            ("delimiter", delimiter),
            ("null", null),
            ("quote", quote),
            ("escape", escape),
            ("force_quote", force_quote),
            ("encoding", encoding),
            ("formula_guard", guard),
        ];
        all.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_string(), value))).collect()
    })
}

/// The door refuses what COPY would refuse, while the application can still see it: whatever gets in comes to a file. The cases are the same
/// in every run.
#[tokio::test]
async fn whatever_the_door_takes_is_exported_and_whatever_it_refuses_is_refused_by_name() {
    let world = World::new().await;
    let app = world.app().await;
    let mut runner = TestRunner::deterministic();
    let request = (
        prop::sample::select(vec!["csv", "csv", "csv", "text", "jsonl"]),
        prop::sample::select(vec!["none", "gzip"]),
        options(),
        prop::option::of("[ -~äß€📈\u{202e}]{0,40}"),
        prop::option::of("\\PC{0,60}"),
    );
    let insert = "insert into exportbox.outbox (query, recipients, format, compression, format_options, filename, subject)
        values ('select 1 as a, ''=x,\"y\"'' as \"b c\", null as d', '{ann@example.com}', $1, $2, $3, $4, $5)";
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..300 {
        let (format, compression, options, filename, subject) = request.new_tree(&mut runner).unwrap().current();
        match app.execute(insert, &[&format, &compression, &options, &filename, &subject]).await {
            Ok(_) => taken += 1,
            Err(error) => {
                let code = error.as_db_error().unwrap().code().code().to_string();
                assert!(code.starts_with("EB"), "{code} {error:?}: {format} {options} {filename:?} {subject:?}");
                refused += 1;
            }
        }
    }
    assert!(taken > 40 && refused > 40, "{taken} taken, {refused} refused: the cases are too easy or too hard");
    world.drain().await;
    let left = "select jsonb_agg(jsonb_build_array(e.state, a.error_detail, o.format, o.format_options, o.filename))::text
        from exportbox.exports as e join exportbox.outbox as o using (id) left join exportbox.attempts as a on a.export_id = e.id
        where e.state <> 'completed' or e.undelivered > 0";
    assert_eq!(world.text(left).await, "");
}
