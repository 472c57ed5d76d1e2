//! A parameter in a condition keeps the index.

use serde_json::Value;

use crate::harness::World;

/// A hundred thousand orders, some 800 a month.
const ORDERS: &str = "
    create table public.orders as select n, date '2016-01-01' + n % 3650 as day, (n % 500)::int as shop from generate_series(1, 100000) as n;
    create index orders_day on public.orders (day);
    create index orders_shop on public.orders (shop);
    analyze public.orders;
    grant select on public.orders to app";

/// Names of the indexes that a query reads, with these parameters set.
async fn indexes(world: &World, query: &str) -> Vec<String> {
    fn read(plan: &Value, found: &mut Vec<String>) {
        found.extend(plan["Index Name"].as_str().map(ToString::to_string));
        plan["Plans"].as_array().into_iter().flatten().for_each(|below| read(below, found));
    }
    let row = world.row(&format!("explain (format json) {query}"), &[]).await;
    let mut found = Vec::new();
    read(&row.get::<_, Value>(0)[0]["Plan"], &mut found);
    found
}

#[tokio::test]
async fn a_parameter_in_a_sub_select_keeps_the_index_whatever_its_value() {
    let world = World::new().await;
    world.sql(ORDERS).await;
    let forms = [
        ("select * from orders where day = (select exportbox.param('day')::date)", "orders_day"),
        (
            "select * from orders where day >= (select exportbox.param('day')::date) and day < (select exportbox.param('day')::date + 7)",
            "orders_day",
        ),
        ("select * from orders where shop = any ((select exportbox.param('shops')::int[])::int[])", "orders_shop"),
        // In a condition by itself the function is asked once, too.
        ("select * from orders where day = exportbox.param('day')::date", "orders_day"),
        // Optional, without a condition that the planner cannot see through.
        (
            "select * from orders where day between coalesce((select exportbox.param('day')::date), '-infinity') and coalesce((select exportbox.param('day')::date), 'infinity')",
            "orders_day",
        ),
    ];
    for mode in ["force_custom_plan", "force_generic_plan"] {
        world.sql(&format!("set plan_cache_mode = {mode}")).await;
        // Also when it is planned at its registration, with no value there.
        for set in
            ["", "select set_config('exportbox.param_day', '2020-02-03', false), set_config('exportbox.param_shops', '{3,4}', false)"]
        {
            world.sql(set).await;
            for (query, index) in &forms {
                assert_eq!(indexes(&world, query).await, [*index], "{mode} {set:?}: {query}");
            }
        }
    }
    // What the documentation warns of: the cast on the column, and a condition with "or".
    for query in [
        "select * from orders where day::text = (select exportbox.param('day'))",
        "select * from orders where exportbox.param('day') is null or day = exportbox.param('day')::date",
    ] {
        assert!(indexes(&world, query).await.is_empty(), "{query} reads an index after all: say so in docs/reports.md");
    }
}

#[tokio::test]
async fn the_plan_of_an_export_that_runs_is_the_one_with_the_index() {
    let world = World::new().await;
    world.sql(ORDERS).await;
    world
        .sql(
            "select exportbox.register_report('by-day', 'select n, day from orders where day = (select exportbox.param(''day'')::date)',
                 '{\"day\": {\"type\": \"date\", \"required\": true}}', 'app')",
        )
        .await;
    let reads = "select coalesce(sum(idx_scan), 0)::bigint from pg_stat_user_indexes where indexrelname = 'orders_day'";
    let before = world.count(reads).await;
    let id = world.request_report("by-day", serde_json::json!({"day": "2020-02-03"}), "").await;
    world.complete(&[id]).await;
    assert!(world.export(id).await["rows"].as_i64().unwrap() > 20);
    world.until(&format!("({reads}) > {before}")).await;
    assert_eq!(
        world.count("select coalesce(sum(seq_tup_read), 0)::bigint % 100000 from pg_stat_user_tables where relname = 'orders'").await,
        0
    );
}
