//! Awkward data, byte for byte against the requester's own COPY.

use crate::harness::World;

/// Each with everything of its kind that has ever broken an exporter.
const AWKWARD: [(&str, &str); 16] = [
    ("nothing and empty", r"select null::text as a, '' as b, null::int as c, 'NULL' as d, '\N' as e, '(null)' as f"),
    ("quotes", r#"select '"' as a, '""' as b, 'a"b' as c, '''' as d, '`' as e, 'x,"y",z' as f"#),
    ("line breaks", r"select E'a\nb' as a, E'a\r\nb' as b, E'a\rb' as c, E'\n' as d, E'\r' as e, E'a\n' as f"),
    ("delimiters", r"select ',' as a, ';' as b, E'\t' as c, '|' as d, 'a,b' as e, E'a\tb' as f"),
    ("the end mark of COPY", r"select '\.' as a union all select E'a\n\\.\nb' union all select '\\.' union all select '\'"),
    ("white space", r"select ' ' as a, ' a ' as b, E'\t' as c, U&'\00a0\2028\feff' as d, E'\x01\x02\x08\x0b\x0c\x1f\x7f' as e"),
    ("bytes", r"select ''::bytea as a, '\x00ff0a0d225c'::bytea as b, decode(repeat('00', 300), 'hex') as c"),
    (
        "arrays",
        r#"select array['a,b', 'c"d', null, '', E'e\nf', '{g}']::text[] as a, '{}'::int[] as b, array[[1, 2], [3, 4]] as c, '[2:3]={5,6}'::int[] as d"#,
    ),
    ("rows", r#"select row(1, 'a,b', null, 'c"d', E'e\nf') as a, row() as b, row(null) as c, row(row(1), array[row(2)]) as d"#),
    (
        "json",
        "select '{\"a\" :  [1,\n\t2], \"a\": \"x\\ny\\\\\"}'::json as a, '{\"b\": null, \"a\": \"\\u00e9\"}'::jsonb as b, 'null'::jsonb as c",
    ),
    (
        "numbers",
        "select 'NaN'::numeric as a, 'Infinity'::float8 as b, '-Infinity'::float4 as c, -0.0::float8 as d, 1e-307::float8 as e, \
            0.1::float4 as f, (repeat('9', 1000) || '.' || repeat('1', 1000))::numeric as g, 9223372036854775807 as h, \
            (-9223372036854775808)::int8 as i, 1.10::numeric as j, 'Infinity'::numeric as k",
    ),
    (
        "days",
        "select 'infinity'::date as a, '-infinity'::timestamptz as b, '4714-11-24 BC'::date as c, '5874897-12-31'::date as d, \
            '0001-01-01 BC'::timestamp as e, '2024-02-29 23:59:59.999999'::timestamp as f, '24:00'::time as g, '23:59:60'::timetz as h",
    ),
    (
        "instants and zones",
        "select '2026-03-29 03:30+02'::timestamptz as a, timestamptz '2026-07-01 12:00 Europe/Berlin' as b, \
            current_setting('timezone') as c, current_setting('datestyle') as d",
    ),
    (
        "intervals",
        "select '1 year 2 months -3 days 04:05:06.7'::interval as a, '-1 second'::interval as b, '0'::interval as c, \
            '178000000 years'::interval as d",
    ),
    (
        "other types",
        "select '10.0.0.0/8'::cidr as a, '[1,5)'::int4range as b, '{[1,2),[5,6)}'::int4multirange as c, '(1,2)'::point as d, \
            b'101'::bit(3) as e, 'a b'::tsvector as f, '<a>&amp;</a>'::xml as g, 'pg_class'::regclass as h, true as i, \
            '00000000-0000-0000-0000-000000000000'::uuid as j, 'a  '::char(5) as k, '-$5.00'::money as l, '1'::\"char\" as m",
    ),
    ("many columns", "select * from (select array_agg(n) as ns from generate_series(1, 3) as n) as x, lateral unnest(x.ns) as y"),
];

/// What COPY is told, and the same as a request says it.
const OPTIONS: [(&str, &str); 6] = [
    ("format csv, header true", ""),
    (
        r"format csv, header false, delimiter ';', null '\N', quote '''', escape '#', force_quote *",
        r##"format_options => '{"delimiter": ";", "null": "\\N", "quote": "''", "escape": "#", "force_quote": "*", "header": false}'"##,
    ),
    (r"format csv, header true, delimiter E'\t', force_quote (a)", r#"format_options => '{"delimiter": "\t", "force_quote": ["a"]}'"#),
    (r"format csv, header true, delimiter E'\\', quote E'\x01'", r#"format_options => '{"delimiter": "\\", "quote": "\u0001"}'"#),
    ("format text", "format => 'text'"),
    ("format text, delimiter '|', null '(null)'", r#"format => 'text', format_options => '{"delimiter": "|", "null": "(null)"}'"#),
];

#[tokio::test]
async fn awkward_values_are_stored_byte_for_byte_as_copy_writes_them() {
    let mut world = World::new().await;
    world.settings.work.slots = 16;
    let mut requests = Vec::new();
    for (what, query) in AWKWARD {
        // The last one has no column of this name.
        for (copy, request) in OPTIONS.iter().filter(|(copy, _)| what != "many columns" || !copy.contains("(a)")) {
            requests.push((what, query, *copy, world.request_with(query, &[], request).await));
        }
    }
    let ids: Vec<_> = requests.iter().map(|(.., id)| *id).collect();
    world.complete(&ids).await;
    for (what, query, copy, id) in requests {
        let (stored, expected) = (world.stored(id).await, world.copy(query, copy).await);
        assert!(stored == expected, "{what}, {copy}:\n{}\n{}", String::from_utf8_lossy(&stored), String::from_utf8_lossy(&expected));
    }
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn every_character_of_unicode_arrives() {
    let world = World::new().await;
    // A row for each 256 code points; PostgreSQL has neither NUL nor surrogates.
    world
        .sql(
            "create table public.unicode as
                 select c / 256 as range, string_agg(chr(c), '' order by c) as characters from generate_series(1, 1114111) as c
                 where c not between 55296 and 57343 group by 1;
             grant select on public.unicode to app",
        )
        .await;
    let query = "select * from unicode order by range";
    let csv = world.request(query, &[]).await;
    let text = world.request_with(query, &[], "format => 'text', compression => 'gzip'").await;
    let jsonl = world.request_with(query, &[], "format => 'jsonl'").await;
    world.complete(&[csv, text, jsonl]).await;
    assert!(world.stored(csv).await == world.copy(query, "format csv, header true").await);
    let unpacked = crate::harness::exports::through("gunzip", &["-c"], world.stored(text).await);
    assert!(unpacked == world.copy(query, "format text").await);
    let mut characters = (1..=0x10_ffff).filter_map(char::from_u32);
    for line in String::from_utf8(world.stored(jsonl).await).unwrap().lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(row["characters"].as_str().unwrap().chars().all(|c| Some(c) == characters.next()));
    }
    assert_eq!(characters.next(), None);
}

#[tokio::test]
async fn a_field_of_fifty_megabytes_goes_through_as_one() {
    let world = World::new().await;
    let query = "select 1 as a, repeat('0123456789', 5000000) as big, repeat('\"', 100000) as quotes";
    let id = world.request(query, &[]).await;
    world.complete(&[id]).await;
    assert!(world.stored(id).await == world.copy(query, "format csv, header true").await);
    assert_eq!(world.export(id).await["rows"], 1);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn a_character_set_is_written_as_asked_for_and_named_in_the_content_type() {
    let world = World::new().await;
    let latin = world.request_with("select 'Käse' as größe", &[], r#"format_options => '{"encoding": "LATIN1"}'"#).await;
    let odd = world.request_with("select 'a'", &[], r#"format => 'text', format_options => '{"encoding": "EUC_TW"}'"#).await;
    world.complete(&[latin, odd]).await;
    assert_eq!(world.stored(latin).await, b"gr\xf6\xdfe\nK\xe4se\n");
    assert_eq!(world.manifest(latin).await["content_type"], "text/csv; charset=iso-8859-1");
    // No name that a browser knows: none is better than a wrong one.
    assert_eq!(world.manifest(odd).await["content_type"], "text/plain");
    let euro = world.request_with("select '€ canary'", &[], r#"format_options => '{"encoding": "LATIN1"}'"#).await;
    world.drain().await;
    let (class, sentence) = world.death(euro).await;
    assert_eq!(class, "query");
    assert!(sentence.starts_with("A character cannot be written in the encoding that was asked for"), "{sentence}");
}
