//! Every way in which an application makes a request, always inside its own transaction.

use uuid::Uuid;

use crate::harness::World;
use crate::harness::requests::refusal;

/// Statement, and how many requests it makes.
const FORMS: &[(&str, i64)] = &[
    ("insert into exportbox.outbox (query) values ('select 1')", 1),
    ("insert into exportbox.outbox (query, recipients) values ('select 1', '{ann@example.com}') returning id", 1),
    ("insert into exportbox.outbox (query, recipients) values ('select 1', '{}'), ('select 2', '{ann@example.com}'), ('select 3', '{}')", 3),
    ("insert into exportbox.outbox (query, priority) select 'select ' || n, n % 10 from generate_series(1, 500) as n", 500),
    ("insert into exportbox.outbox (query) select 'select 1' where false", 0),
    ("insert into exportbox.outbox (query) values ('select 1') on conflict do nothing", 1),
    ("insert into exportbox.outbox (query) values ('select 1') on conflict do nothing returning id", 1),
    ("insert into exportbox.outbox (query) values ('select 1') on conflict (id) do nothing", 1),
    ("insert into exportbox.outbox (query, idempotency_key) values ('select 1', 'form') on conflict (requested_by, idempotency_key) do nothing", 1),
    // An object mapper writes null for whatever its user left out.
    ("insert into exportbox.outbox (id, report, query, params, recipients, format, compression, format_options, filename, idempotency_key, run_at,
        not_after, priority, timeout, max_attempts, link_ttl, subject, message, metadata)
      values (null, null, 'select 1', null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null) returning id", 1),
    ("insert into exportbox.outbox (id, query) values ('018f0000-0000-7000-8000-000000000001', 'select 1') returning id", 1),
    ("insert into exportbox.outbox (query, priority, run_at) values ('select 1', default, default)", 1),
    ("with changed as (update orders set exported = true returning id)
      insert into exportbox.outbox (query, metadata) select 'select ' || id, jsonb_build_object('order', id) from changed", 2),
    ("with asked as (insert into exportbox.outbox (query) values ('select 1') returning id) select id from asked", 1),
    ("select exportbox.request_export(query => 'select 1')", 1),
    ("select exportbox.request_export(query => 'select ' || id) from orders", 2),
    ("select exportbox.request_export(null, 'select 1', '{}', '{ann@example.com}')", 1),
    ("select exportbox.request_export(report => null, query => 'select exportbox.param(''a'')', params => '{\"a\": 1}',
        recipients => '{ann@example.com}', format => 'csv', compression => 'gzip', format_options => '{\"delimiter\": \";\"}',
        filename => 'orders.csv', idempotency_key => 'call', run_at => now(), not_after => now() + interval '1 day', priority => 3,
        timeout => '5 minutes', max_attempts => 2, link_ttl => '1 hour', subject => 'Orders', message => 'Here they are.',
        metadata => '{\"order\": 7}')", 1),
    ("do $$ begin perform exportbox.request_export(query => 'select 1'); end $$", 1),
];

#[tokio::test]
async fn every_form_of_insert_makes_one_pending_job_per_row_at_commit_and_nothing_at_rollback() {
    let world = World::new().await;
    let app = world.app().await;
    app.batch_execute("create table orders (id int, exported boolean); insert into orders values (1, false), (2, false)").await.unwrap();
    for (form, rows) in FORMS {
        let before = world.requests_and_jobs().await;
        app.batch_execute("begin; update orders set exported = false").await.unwrap();
        app.batch_execute(form).await.unwrap_or_else(|error| panic!("{error:?}: {form}"));
        assert_eq!(world.requests_and_jobs().await, before, "seen before the commit: {form}");
        app.batch_execute("rollback").await.unwrap();
        assert_eq!(world.requests_and_jobs().await, before, "left by a rollback: {form}");

        app.batch_execute("begin").await.unwrap();
        app.batch_execute(form).await.unwrap();
        app.batch_execute("commit").await.unwrap();
        assert_eq!(world.requests_and_jobs().await, (before.0 + rows, before.1 + rows), "after the commit: {form}");
        let one_each =
            "select count(*) from exportbox.outbox as o where 1 <> (select count(*) from exportbox.jobs as j where j.export_id = o.id)";
        assert_eq!(world.count(one_each).await, 0, "{form}");
        // Keys and given ids are free again for the next form.
        world.sql("delete from exportbox.outbox").await;
    }
}

#[tokio::test]
async fn the_returned_id_is_the_exports_id_given_or_made_in_the_order_of_time() {
    let world = World::new().await;
    let app = world.app().await;
    let given = Uuid::new_v4();
    let row = app.query_one("insert into exportbox.outbox (id, query) values ($1, 'select 1') returning id", &[&given]).await.unwrap();
    assert_eq!(row.get::<_, Uuid>(0), given);
    let made: Uuid = app.query_one("insert into exportbox.outbox (query) values ('select 1') returning id", &[]).await.unwrap().get(0);
    let called: Uuid = app.query_one("select exportbox.request_export(query => 'select 1')", &[]).await.unwrap().get(0);
    for id in [given, made, called] {
        assert_eq!(world.state(id).await, "pending");
    }
    assert_eq!(made.get_version_num(), 7);
    let (seconds, _) = made.get_timestamp().unwrap().to_unix();
    let now = world.count("select extract(epoch from now())::bigint").await;
    assert!(now.abs_diff(i64::try_from(seconds).unwrap()) < 60, "made at {seconds}, now {now}");
    let disorder = "with made as materialized (select n, exportbox.new_id() as id from generate_series(1, 5000) as n)
        select count(*) from (select left(id::text, 13) < lag(left(id::text, 13)) over (order by n) as wrong from made) as m where wrong";
    assert_eq!(world.count(disorder).await, 0);
}

#[tokio::test]
async fn explicit_nulls_mean_the_defaults() {
    let world = World::new().await;
    let app = world.app().await;
    app.batch_execute(
        "insert into exportbox.outbox (id, query, params, recipients, format, compression, format_options, run_at, priority, metadata)
         values (null, 'select 1', null, null, null, null, null, null, null, null); insert into exportbox.outbox (query) values ('select 1')",
    )
    .await
    .unwrap();
    // Apart from id and instants both rows say the same.
    let kinds = "select count(distinct to_jsonb(o) - '{id,run_at,requested_at}'::text[]) from exportbox.outbox as o";
    assert_eq!(world.count(kinds).await, 1);
    assert_eq!(world.count("select count(*) from exportbox.outbox where run_at = requested_at").await, 2);
}

#[tokio::test]
async fn what_a_request_wishes_reaches_its_job() {
    let world = World::new().await;
    let wishes = "run_at => '2031-01-01 00:00Z', not_after => '2031-01-02 00:00Z', priority => 7, timeout => '90 s', max_attempts => 9";
    let id = world.request_with("select 1", &[], wishes).await;
    let job = world.export_job(id).await;
    assert_eq!(
        (job["priority"].as_i64(), job["max_attempts"].as_i64(), job["timeout"].as_str(), job["attempt"].as_i64()),
        (Some(7), Some(9), Some("00:01:30"), Some(0))
    );
    assert_eq!((job["run_at"].as_str(), job["not_after"].as_str()), (Some("2031-01-01T00:00:00+00:00"), Some("2031-01-02T00:00:00+00:00")));
}

#[tokio::test]
async fn a_savepoint_takes_back_only_what_came_after_it() {
    let world = World::new().await;
    let app = world.app().await;
    app.batch_execute(
        "begin;
         insert into exportbox.outbox (query) values ('select ''kept''');
         savepoint here;
         insert into exportbox.outbox (query) values ('select ''dropped''');
         rollback to here;
         commit",
    )
    .await
    .unwrap();
    assert_eq!(world.requests_and_jobs().await, (1, 1));
    assert_eq!(world.text("select query from exportbox.outbox").await, "select 'kept'");
}

#[tokio::test]
async fn a_refused_request_can_be_stepped_over_with_a_savepoint() {
    let world = World::new().await;
    let app = world.app().await;
    app.batch_execute("begin; insert into exportbox.outbox (query) values ('select 1'); savepoint here").await.unwrap();
    assert_eq!(refusal(&app, "insert into exportbox.outbox (query, format) values ('select 2', 'docx')").await.code, "EB020");
    app.batch_execute("rollback to here; insert into exportbox.outbox (query) values ('select 3'); commit").await.unwrap();
    assert_eq!(world.requests_and_jobs().await, (2, 2));
}

/// PostgreSQL has no COPY into a table with row-level security; its hint names the way that works.
#[tokio::test]
async fn copy_into_the_outbox_is_refused_with_a_hint_and_leaves_nothing() {
    let world = World::new().await;
    let app = world.app().await;
    let refused = refusal(&app, "copy exportbox.outbox (query) from stdin").await;
    assert_eq!(refused.code, "0A000");
    assert!(refused.hint.contains("INSERT"), "{refused:?}");
    assert_eq!(world.requests_and_jobs().await, (0, 0));
}
