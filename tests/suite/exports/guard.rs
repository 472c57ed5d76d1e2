//! The formula guard: a spreadsheet runs nothing of what people open, and machines get the data as it is.

use crate::harness::World;

const TYPES: &str = "create type mood as enum ('=1+1', 'fine');
    create domain remark as text;
    create domain amount as integer;
    create type pair as (a text, b text);";

/// Cells that a spreadsheet would run, and cells that look alike.
const QUERY: &str = "select * from (values
        ('=1+1'::text, '+1-1'::varchar(10), '-x'::char(4), '=1+1'::mood, '@a'::remark, -5, -1.5, '-1'::amount, array['=x'], row('=x', 1)::pair),
        (E'\\tx', E'\\rx', 'a'::char(4), 'fine', E'\\nx', 5, 1.5, 1, '{}', null),
        (null, '', null, null, null, null, null, null, null, row(null, null)::pair)
    ) as cells (\"=text\", \"+varchar\", \"-char\", mood, \"@remark\", n, f, amount, list, pair)";

const GUARDED: &str = "'=text,'+varchar,'-char,mood,'@remark,n,f,amount,list,pair\n\
    '=1+1,'+1-1,'-x  ,'=1+1,'@a,-5,-1.5,-1,{=x},\"(=x,1)\"\n\
    '\tx,\"'\rx\",a   ,fine,\"'\nx\",5,1.5,1,{},\n\
    ,\"\",,,,,,,,\"(,)\"\n";

#[tokio::test]
async fn formulas_are_guarded_where_people_open_the_file_and_nowhere_else() {
    let world = World::new().await;
    world.sql(TYPES).await;
    let plain = String::from_utf8(world.copy(QUERY, "format csv, header true").await).unwrap();
    let on = r#"format_options => '{"formula_guard": true}'"#;
    let off = r#"format_options => '{"formula_guard": false}'"#;
    let ann: &[&str] = &["ann@example.com"];
    let text = String::from_utf8(world.copy(QUERY, "format text").await).unwrap();
    let cases: [(&[&str], &str, &str); 7] = [
        (ann, "", GUARDED),
        (&[], "", &plain),
        (&[], on, GUARDED),
        (ann, off, &plain),
        (ann, on, GUARDED),
        (&[], off, &plain),
        (ann, "format => 'text'", &text),
    ];
    let files = world.files(&cases.map(|(recipients, options, _)| (QUERY, recipients, options))).await;
    for ((recipients, options, expected), file) in cases.iter().zip(files) {
        assert_eq!(file, *expected, "{recipients:?} {options}");
    }
}

#[tokio::test]
async fn what_needs_no_guard_is_the_same_with_and_without() {
    let world = World::new().await;
    let queries = [
        "select -1 as n, '-infinity'::float8 as f, '-1 day'::interval as i, '-$1'::money as m, true as b, '{\"a\": 1}'::jsonb as j",
        "select 'a=1' as a, 'x' as a, 'a,\"b\"' as b, E'c\\nd' as c, ' =1' as d, 1 as \"a,b\", 2 as \"\"\"\", 3 as \" \"",
        "select from generate_series(1, 3)",
        "select 'a' where false",
        "with x as (select 'a' as a) select a from x order by a -- the end",
        "values ('a', 1), ('b', null);",
        "table pg_catalog.pg_am",
    ];
    let ann: &[&str] = &["ann@example.com"];
    let files = world.files(&queries.map(|query| (query, ann, ""))).await;
    for (query, file) in queries.iter().zip(files) {
        let copied = String::from_utf8(world.copy(query.trim_end_matches(';'), "format csv, header true").await).unwrap();
        assert_eq!(file, copied, "{query}");
    }
}

#[tokio::test]
async fn a_heading_is_guarded_though_no_cell_needs_it() {
    let world = World::new().await;
    assert_eq!(world.file("select 1 as \"=cmd\"", &["ann@example.com"], "").await, "'=cmd\n1\n");
}

#[tokio::test]
async fn a_column_that_is_quoted_by_name_is_found_under_its_guarded_heading() {
    let world = World::new().await;
    let options = r#"format_options => '{"force_quote": ["=a", "b"]}'"#;
    let file = world.file("select 1 as \"=a\", 2 as b, 'x' as c", &["ann@example.com"], options).await;
    assert_eq!(file, "'=a,b,c\n\"1\",\"2\",x\n");
}
