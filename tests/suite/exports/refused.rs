//! Queries that cannot be exported: dead at once, with a sentence that helps and holds nothing of anybody's data, and nothing changed.

use crate::harness::World;
use crate::harness::process::{code, stderr, stdout};

/// Stands for data of the query and of the tables.
const CANARY: &str = "canary-7431";

/// Query, class, beginning of the sentence.
const BAD: [(&str, &str, &str); 13] = [
    ("selekt 'canary-7431'", "query", "The query is not one valid SELECT statement"),
    ("select 'canary-7431' from nowhere", "query", "The query names a table or view that does not exist"),
    ("select nothing, 'canary-7431' from item", "query", "The query names a column that does not exist"),
    ("select * from secret where word = 'canary-7431'", "permission", "The role that runs the query lacks a privilege"),
    ("select 1 / (length('canary-7431') - 11)", "query", "The query divides by zero"),
    ("select word::int from item", "query", "A value cannot be read as the type that the query wants"),
    ("select nowhere('canary-7431')", "query", "The query calls a function or operator that does not exist"),
    ("select says_too_much()", "query", "The query failed; an operator sees the server's own words"),
    ("select $1::text || 'canary-7431'", "query", "The query has a $ placeholder"),
    ("select 'canary-7431'; select 2", "query", "The query is not one valid SELECT statement"),
    ("select 'canary-7431') to program 'touch X' --", "query", "The query is not one valid SELECT statement"),
    ("select 'canary-7431' into public.other", "query", "The query or a format option asks for what this server cannot do"),
    ("select sum(n), word from item where word = 'canary-7431'", "query", "The query failed"),
];

const ITEMS: &str = "create table public.item (word text, n int unique);
    insert into public.item values ('canary-7431', 1);
    create table public.secret (word text);
    create sequence public.counter;
    grant all on public.item, public.counter to app;
    create function public.says_too_much() returns text language plpgsql as $$
    begin
        raise exception 'canary-7431' using detail = 'Key (email)=(canary-7431)', hint = 'canary-7431';
    end $$;";

/// Every text that anybody may read, in one.
const SHOWN: &str = "select concat(
    (select string_agg(to_jsonb(e)::text, '') from exportbox.exports as e), (select string_agg(to_jsonb(j)::text, '') from exportbox.jobs as j),
    (select string_agg((to_jsonb(a) - 'error_detail')::text, '') from exportbox.attempts as a),
    (select string_agg(to_jsonb(d)::text, '') from exportbox.deliveries as d), (select string_agg(to_jsonb(v)::text, '') from exportbox.events as v),
    (select string_agg(to_jsonb(j)::text, '') from exportbox.jobs as j), (select string_agg(to_jsonb(v)::text, '') from exportbox.events as v))";

#[tokio::test]
async fn a_bad_query_dies_at_its_first_attempt_and_says_nothing_of_the_data() {
    let world = World::new().await;
    world.sql(ITEMS).await;
    let mut requests = Vec::new();
    for (query, class, sentence) in BAD {
        requests.push((query, class, sentence, world.request(query, &["ann@example.com"]).await));
    }
    // The real program, as talkative as its log gets.
    let output = world.program(&["drain", "--json", "--log", "trace"]).env("EXPORTBOX_LOG_FORMAT", "json").output().await.unwrap();
    assert_eq!(code(&output), 11, "{}", stderr(&output));
    for (query, class, sentence, id) in requests {
        let export = world.export(id).await;
        assert_eq!((&export["state"], &export["attempts"]), (&"dead".into(), &1.into()), "{query}: {export}");
        assert_eq!(export["error_class"], class, "{query}: {export}");
        assert!(export["error"].as_str().unwrap().starts_with(sentence), "{query}: {export}");
        assert!(!stderr(&output).contains(query));
    }
    for (what, shown) in [("log", stderr(&output)), ("summary", stdout(&output)), ("tables", world.text(SHOWN).await)] {
        assert!(!shown.contains(CANARY), "the {what} holds data: {shown}");
        assert!(shown.len() > 100 || what == "summary", "{what}: {shown}");
    }
    assert!(world.mails().is_empty());
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn the_servers_own_words_are_for_operators_alone() {
    let world = World::new().await;
    world.sql(ITEMS).await;
    let id = world.request("select says_too_much()", &[]).await;
    world.drain().await;
    world.death(id).await;
    let detail = "select count(*) from exportbox.attempts where error_detail like '%canary-7431%'";
    let seen: i64 = world.app().await.query_one(detail, &[]).await.unwrap().get(0);
    assert_eq!(seen, 0);
    let mut seen_by = Vec::new();
    for role in ["exportbox_reader", "exportbox_operator"] {
        world.sql(&format!("set role {role}")).await;
        seen_by.push((world.count("select count(*) from exportbox.attempts where outcome = 'buried'").await, world.count(detail).await));
        world.sql("reset role").await;
    }
    assert_eq!(seen_by, [(1, 0), (1, 1)]);
}

#[tokio::test]
async fn nothing_that_writes_gets_through() {
    let world = World::new().await;
    world.sql(ITEMS).await;
    let touched = world.dir().join("touched");
    let break_out = format!("select 1) to program 'touch {}' --", touched.display());
    let mut requests = Vec::new();
    for query in [
        "insert into item values ('x', 2) returning n",
        "update item set n = 5 returning n",
        "delete from item returning n",
        "with x as (insert into item values ('x', 2) returning n) select * from x",
        "select nextval('counter')",
        "create table public.made (a int)",
        "drop table item",
        "truncate item",
        "select n from item for update",
        "copy item to stdout",
        "commit",
        "set role postgres",
        "do $$ begin perform 1; end $$",
        &break_out,
    ] {
        for format in ["csv", "jsonl"] {
            requests.push((query, world.request_with(query, &["ann@example.com"], &format!("format => '{format}'")).await));
        }
    }
    world.drain().await;
    for (query, id) in requests {
        let (class, sentence) = world.death(id).await;
        assert_eq!(class, "query", "{query}: {sentence}");
    }
    assert_eq!(world.text("select string_agg(n::text, ',') from public.item").await, "1");
    assert_eq!(world.text("select is_called::text from public.counter").await, "false");
    assert_eq!(world.count("select count(*) from pg_class where relname in ('made', 'other')").await, 0);
    assert!(!touched.exists());
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn what_a_read_only_transaction_lets_a_function_write_is_rolled_back() {
    let world = World::new().await;
    // Large objects are such a thing up to PostgreSQL 15; a setting is one everywhere.
    let query = "select lo_create(0) > 0 as made";
    let id = world.request(query, &[]).await;
    world.drain().await;
    let state = world.state(id).await;
    assert!(state == "completed" || state == "dead", "{state}");
    assert_eq!(world.count("select count(*) from pg_largeobject_metadata").await, 0);
}

#[tokio::test]
async fn a_query_that_runs_past_its_time_is_tried_again() {
    let world = World::new().await;
    let id = world.request_with("select pg_sleep(60)", &[], "timeout => '1 second', max_attempts => 2::smallint").await;
    world.drain().await;
    let export = world.export(id).await;
    assert_eq!(
        (&export["state"], &export["error_class"], &export["attempts"]),
        (&"pending".into(), &"timeout".into(), &1.into()),
        "{export}"
    );
    world.set_jobs("run_at = now()", "true").await;
    world.drain().await;
    let export = world.export(id).await;
    assert_eq!((&export["state"], &export["error_class"], &export["attempts"]), (&"dead".into(), &"timeout".into(), &2.into()), "{export}");
    assert_eq!(world.backends_of(id).await, 0);
}
