//! JSON Lines: one object a line, the same as PostgreSQL's own `row_to_json`.

use serde_json::{Value, json};

use crate::harness::World;

#[tokio::test]
async fn every_line_is_one_object_and_equals_row_to_json() {
    let world = World::new().await;
    let queries = [
        r#"select E'a\\nb' as text, E'line\nbreak\r\n\\.' as breaks, '"' as quote, null as nothing, '' as empty, E'\x01\x02\t' as control"#,
        // A json column keeps its own white space; jsonb does not.
        "select '{\"a\":\n\t[1,\r\n 2], \"b\": \"x\\ny\\\\z\"}'::json as raw, '{\"b\": \"\\u00e9\\n\"}'::jsonb as binary, '[]'::json as c",
        "select 'NaN'::float8 as a, 1.10 as b, array[1, null] as c, row(1, 'x') as d, 'infinity'::date as e, '\\x00ff'::bytea as f, \
            timestamptz '2026-03-29 01:30+00' as g, interval '1 day' as h, 'schöne Grüße 🎉' as i",
        // Names that stand for something in the query that is wrapped around it.
        "select 1 as line, 2 as \"row\", 3 as \"Ünïcode \"\"quoted\"\"\", 4 as \"?column?\", 5 as text",
        "select n, repeat('x', n) as text from generate_series(0, 300) as n",
        // And so does one inside of a record, a composite type or an array.
        "select row(1, E'{\"a\":\n1}'::json) as pair, array[E'[1,\n2]'::json] as list, array_agg(row(E'\r\n7'::json)) as rows",
        "select from generate_series(1, 3)",
        "values (1, 'a'), (2, E'b\\n')",
    ];
    let mut ids = Vec::new();
    for query in queries {
        ids.push(world.request_with(query, &["ann@example.com"], "format => 'jsonl'").await);
    }
    world.complete(&ids).await;
    for (query, id) in queries.iter().zip(ids) {
        let file = String::from_utf8(world.stored(id).await).unwrap();
        let lines: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, world.rows_as_json(query).await, "{query}");
        assert!(file.ends_with('\n') && !file.contains('\r'), "{file}");
        assert_eq!(world.export(id).await["rows"], lines.len());
        assert_eq!(world.manifest(id).await["content_type"], "application/jsonl");
    }
}

#[tokio::test]
async fn numbers_that_no_float_holds_keep_every_digit() {
    let world = World::new().await;
    let file = world.file("select 1e400::numeric as big, 0.10000000000000000000000001 as small", &[], "format => 'jsonl'").await;
    assert_eq!(file, format!("{{\"big\":1{},\"small\":0.10000000000000000000000001}}\n", "0".repeat(400)));
}

#[tokio::test]
async fn two_columns_of_one_name_are_both_there() {
    let world = World::new().await;
    let file = world.file("select 1 as a, 2 as a", &[], "format => 'jsonl'").await;
    assert_eq!(file, "{\"a\":1,\"a\":2}\n");
    assert_eq!(serde_json::from_str::<Value>(&file).unwrap(), json!({"a": 2}));
}
