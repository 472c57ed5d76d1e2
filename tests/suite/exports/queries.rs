//! Which queries run, as whom, over which data, and with which parameters.

use crate::harness::World;

#[tokio::test]
async fn a_query_may_end_and_begin_as_sql_allows() {
    let world = World::new().await;
    world.sql("create table public.one as select 1 as a; grant select on public.one to app").await;
    let queries = [
        "select 1 as a;",
        "  \n select 1 as a \n;; \n",
        "select 1 as a -- one",
        "select 1 as a /* one */ ;",
        "-- first\nselect 1 as a",
        "with one as (select 1 as a) select a from one",
        "with recursive n as (select 1 as a union all select a + 1 from n where a < 1) select a from n",
        "select 1 as a union select 1 order by a limit 1",
        "(select 1 as a)",
        "select distinct on (a) a from (values (1), (1)) as v (a)",
        "select a from (values (1)) as v (a) for read only",
        "table one",
    ];
    let nobody: &[&str] = &[];
    for (format, expected) in [("format => 'csv'", "a\n1\n"), ("format => 'jsonl'", "{\"a\":1}\n")] {
        let files = world.files(&queries.map(|query| (query, nobody, format))).await;
        for (query, file) in queries.iter().zip(files) {
            assert_eq!(file, expected, "{query}");
        }
    }
    assert_eq!(world.file("values (1)", &[], "").await, "column1\n1\n");
}

#[tokio::test]
async fn a_query_runs_with_the_rights_of_its_requester() {
    let world = World::new().await;
    assert_eq!(world.file("select current_user as who", &[], "").await, "who\napp\n");
    let id = world.request("select rolname from pg_authid", &[]).await;
    world.drain().await;
    assert_eq!(world.death(id).await.0, "permission");
    let settings = world.file("select current_setting('transaction_read_only'), current_setting('transaction_isolation')", &[], "").await;
    assert!(settings.ends_with("on,repeatable read\n"), "{settings}");
}

#[tokio::test]
async fn a_file_shows_one_instant_whatever_changes_while_it_is_made() {
    let world = World::new().await;
    world
        .sql(
            "create table public.item (n int); insert into public.item values (1); grant select on public.item to app;
             -- Volatile: in any lesser isolation it would see what was committed while it waited.
             create function public.count_later() returns bigint language plpgsql volatile as $$
             begin
                 perform pg_advisory_xact_lock_shared(42);
                 return (select count(*) from public.item);
             end $$;
             select pg_advisory_lock(42)",
        )
        .await;
    let id = world
        .request("select (select count(*) from item) as before, count_later() as after, (select count(*) from item) as last", &[])
        .await;
    let running = world.start().await;
    world.until("select exists (select from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database()))").await;
    world.sql("insert into public.item select generate_series(2, 100); select pg_advisory_unlock(42)").await;
    world.until_state(id, "completed").await;
    running.stop().await;
    assert_eq!(world.stored(id).await, b"before,after,last\n1,1,1\n");
}

/// What would break out of a query if it were pasted into one.
const INJECTION: &str = "x'; drop table item; -- \\' $$ \" %s \u{1f389}\n) to program 'touch X' --";

#[tokio::test]
async fn parameters_arrive_as_plain_values() {
    let world = World::new().await;
    let app = world.app().await;
    let call = "select exportbox.request_export(query => 'select exportbox.param(''a'') as a, exportbox.param(''n'')::int + 1 as n, exportbox.param(''t'') as t, \
        exportbox.param(''missing'') is null as missing, exportbox.param(''nothing'') is null as nothing, exportbox.param(''empty'') = '''' as empty', \
        params => $1, format => 'jsonl')";
    let params = serde_json::json!({"a": INJECTION, "n": 41, "t": true, "nothing": null, "empty": ""});
    let id = app.query_one(call, &[&params]).await.unwrap().get(0);
    world.complete(&[id]).await;
    let row: serde_json::Value = serde_json::from_slice(&world.stored(id).await).unwrap();
    assert_eq!(row, serde_json::json!({"a": INJECTION, "n": 42, "t": "true", "missing": true, "nothing": true, "empty": true}));
}

#[tokio::test]
async fn a_report_reads_its_parameters_and_a_missing_optional_one_is_null() {
    let world = World::new().await;
    world
        .sql(
            "select exportbox.register_report('monthly', 'select exportbox.param(''month'')::date as month, exportbox.param(''who'') as who,
                 exportbox.param(''limit'')::int as most, current_user as runs_as',
                 '{\"month\": {\"type\": \"date\", \"required\": true}, \"who\": \"text\", \"limit\": \"int\"}', run_as => 'app')",
        )
        .await;
    let app = world.app().await;
    let call = "select exportbox.request_export(report => 'monthly', params => $1, format => 'jsonl')";
    let id = app.query_one(call, &[&serde_json::json!({"month": "2026-02-01", "who": INJECTION})]).await.unwrap().get(0);
    world.complete(&[id]).await;
    let row: serde_json::Value = serde_json::from_slice(&world.stored(id).await).unwrap();
    assert_eq!(row, serde_json::json!({"month": "2026-02-01", "who": INJECTION, "most": null, "runs_as": "app"}));
    assert_eq!(world.manifest(id).await["filename"], "monthly.jsonl");
}
