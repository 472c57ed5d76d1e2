//! What a report may be split by is told when it is registered.

use super::world;
use crate::harness::process::{code, stderr, stdout};

#[tokio::test]
async fn a_key_that_no_export_could_use_is_refused() {
    let world = world().await;
    world
        .sql(
            "create view public.seen as select * from public.item;
             create table public.parted (id int) partition by range (id);
             create table public.part partition of public.parted for values from (0) to (10);
             create table public.part_too partition of public.parted for values from (10) to (20);
             create table public.other (id int, j json);
             grant select on all tables in schema public to app",
        )
        .await;
    for (query, key) in [
        ("select id from item", "nothing"),
        ("select id as a, small as a from item", "a"),
        ("select id from item", "ID"),
        ("select j from other", "j"),
        ("select id::float as f from item", "f"),
        ("select id from item", ""),
        ("select id from item where id > 5", "ctid"),
        ("select id from item order by id", "ctid"),
        ("select id from item limit 5", "ctid"),
        ("select id from seen", "ctid"),
        ("select id from parted", "ctid"),
        ("select item.id from item, other", "ctid"),
        ("select count(*) from item", "ctid"),
        ("select generate_series(1, id) from item", "ctid"),
        ("select 1 as one", "ctid"),
        ("select id from item union all select id from other", "ctid"),
    ] {
        let register = "select exportbox.register_report('r', $1, run_as => 'app', split_key => $2)";
        let error = world.admin.query_one(register, &[&query, &key]).await.expect_err(query);
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "EB060", "{query}, {key}: {error:?}");
        assert!(error.message().contains("split_key"), "{error:?}");
    }
    assert_eq!(world.count("select count(*) from exportbox.report").await, 0);
    for (query, key) in [
        ("select id, word from item;", "word"),
        ("select id from only item -- x", "ctid"),
        ("select * from other", "ctid"),
        ("table seen", "at"),
    ] {
        world.split_report("r", query, key, "").await;
    }
    assert_eq!(world.text("select split_key from exportbox.reports where is_current").await, "at");
}

#[tokio::test]
async fn a_file_names_the_key_and_it_is_checked_where_the_query_runs() {
    let world = world().await;
    let dba = [("EXPORTBOX_DATABASE_URL", world.operator_url().await), ("EXPORTBOX_SOURCE_URL", world.daemon_url())];
    let dba = [(dba[0].0, dba[0].1.as_str()), (dba[1].0, dba[1].1.as_str())];
    for (query, key, is_usable) in [
        ("select id from item", "id", true),
        ("select id from item", "ctid", true),
        ("select id from item", "day", false),
        ("select id from item where id > 5", "ctid", false),
    ] {
        let text = format!("name = \"items\"\nrun_as = \"app\"\nquery = \"{query}\"\nsplit_key = \"{key}\"\n");
        let file = world.file_of("items.toml", &text);
        let output = world.run_with(&["report", "add", file.to_str().unwrap()], &dba).await;
        assert_eq!(code(&output) == 0, is_usable, "{key}: {}", stderr(&output));
        assert!(is_usable || stderr(&output).contains(&format!("split_key \"{key}\" is not usable")), "{}", stderr(&output));
    }
    let shown = stdout(&world.run_with(&["report", "show", "items"], &dba).await);
    assert!(shown.contains("split by    ctid"), "{shown}");
}
