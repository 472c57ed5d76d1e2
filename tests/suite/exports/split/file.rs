//! The file: byte for byte what one COPY gives.

use exportbox::export::SplitOptions;

use super::{GATE, world};
use crate::harness::World;
use crate::harness::exports::through;

const KEYS: [&str; 10] = ["id", "small", "big", "number", "day", "local", "at", "uid", "word", "label"];

#[tokio::test]
async fn a_file_has_the_same_bytes_whatever_its_key_and_however_many_backends_make_it() {
    let mut world = world().await;
    let forms = [
        ("", "format csv, header true"),
        (", format => 'text'", "format text"),
        (", compression => 'gzip', format_options => '{\"header\": false, \"delimiter\": \";\"}'", "format csv, delimiter ';'"),
    ];
    let query = |key: &str| format!("select * from item order by {key}, id desc -- the end");
    let mut requests = Vec::new();
    for key in KEYS {
        world.split_report(key, &query(key), key, "").await;
        for (more, copy) in forms {
            requests.push((key, copy, world.request_split(key, more).await));
        }
    }
    let ids: Vec<_> = requests.iter().map(|(.., id)| *id).collect();
    world.settings.work.slots = 1;
    world.complete(&ids).await;
    for (key, copy, id) in requests {
        assert_eq!(world.backends_had(id).await, 3, "{key}");
        let (mut stored, expected) = (world.stored(id).await, world.copy(&query(key), copy).await);
        if copy.contains(';') {
            stored = through("gunzip", &["-c"], stored);
        }
        assert!(stored == expected, "{key}, {copy}: {} bytes, expected {}", stored.len(), expected.len());
        assert_eq!(world.export(id).await["rows"], 5020, "{key}");
    }
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn json_lines_and_guarded_cells_are_the_same_split_and_not() {
    let mut world = world().await;
    world.split_report("items", "select id, word as \"=word\", filler, at from item order by id;", "id", "").await;
    let forms = [", format => 'jsonl'", ", format_options => '{\"formula_guard\": true, \"force_quote\": [\"=word\"]}'"];
    let mut files = Vec::new();
    for backends in [3, 1] {
        world.settings.split.backends = backends;
        let mut ids = Vec::new();
        for more in forms {
            ids.push(world.request_split("items", more).await);
        }
        world.settings.work.slots = 1;
        world.complete(&ids).await;
        for id in ids {
            assert_eq!(world.backends_had(id).await, i64::try_from(backends).unwrap());
            files.push(world.stored(id).await);
        }
    }
    assert!(files[0] == files[2] && files[1] == files[3] && files[0].len() > 500_000);
    assert!(files[1].starts_with(b"id,\"'=word\",") || files[1].starts_with(b"id,'=word,"));
}

#[tokio::test]
async fn a_file_has_the_order_of_its_key_though_the_query_has_none_or_another() {
    let mut world = world().await;
    world.split_report("none", "select id, filler from item", "id", "").await;
    world.split_report("other", "select id, filler from item order by id desc", "id", "").await;
    let expected = world.copy("select id, filler from item order by id", "format csv, header true").await;
    for backends in [3, 1] {
        world.settings.split.backends = backends;
        let ids = [world.request_split("none", "").await, world.request_split("other", "").await];
        world.complete(&ids).await;
        assert!(world.stored(ids[0]).await == expected && world.stored(ids[1]).await == expected);
    }
}

#[tokio::test]
async fn a_plain_table_by_ranges_of_its_blocks_has_each_row_once() {
    let world = world().await;
    world.split_report("blocks", "select id, filler from item -- all", "ctid", "").await;
    let ids = [world.request_split("blocks", ", format => 'jsonl'").await];
    world.complete(&ids).await;
    assert_eq!(world.backends_had(ids[0]).await, 3);
    let stored = String::from_utf8(world.stored(ids[0]).await).unwrap();
    let mut seen: Vec<i64> =
        stored.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_i64().unwrap()).collect();
    seen.sort_unstable();
    assert!(seen == (1..=5020).collect::<Vec<i64>>());
}

#[tokio::test]
async fn rows_larger_than_a_part_and_slices_larger_than_a_lane_go_through() {
    let mut world = world().await;
    // Two backends wait behind a slice of 24 MB, with full channels.
    world.settings.split.slice_bytes = 3_000_000.0;
    let query = "select id, repeat('x', case when id % 700 = 7 then 6000000 else 300 end) as filler from item order by id";
    world.split_report("large", query, "id", "").await;
    let id = world.request_split("large", "").await;
    world.complete(&[id]).await;
    assert_eq!(world.backends_had(id).await, 3);
    assert!(world.stored(id).await == world.copy(query, "format csv, header true").await);
    assert!(world.s3.faults().hits("UploadPart") > 5);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn a_table_that_is_emptier_than_the_planner_knows_makes_a_whole_file() {
    let world = world().await;
    world.split_report("items", "select id, filler from item order by id", "id", "").await;
    world.sql("alter table public.item set (autovacuum_enabled = off); delete from public.item").await;
    let forms = [
        ("", "id,filler\n"),
        (", compression => 'gzip'", "id,filler\n"),
        (", format => 'text', compression => 'gzip'", ""),
        (", format => 'text'", ""),
    ];
    for (more, expected) in forms {
        let id = world.request_split("items", more).await;
        world.complete(&[id]).await;
        assert_eq!((world.backends_had(id).await, world.export(id).await["rows"].as_i64()), (3, Some(0)), "{more}");
        let stored = world.stored(id).await;
        let file = if more.contains("gzip") { through("gunzip", &["-c"], stored) } else { stored };
        assert_eq!(String::from_utf8(file).unwrap(), expected, "{more}");
    }
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn what_is_committed_while_the_slices_are_made_is_in_none_of_them() {
    let world = world().await;
    let query = format!("select id, filler, {GATE} from item order by id");
    world.split_report("items", &query, "id", "").await;
    let expected = world.copy(&query, "format csv, header true").await;
    let gate = world.gate().await;
    let id = world.request_split("items", "").await;
    let running = world.start().await;
    world.until_at_gate(id).await;
    world.sql("delete from public.item where id % 3 = 0; update public.item set filler = 'new'; insert into public.item (id, filler) values (2501, 'x') on conflict do nothing; insert into public.item (id) select -n from generate_series(1, 100) as n").await;
    gate.open().await;
    world.until_state(id, "completed").await;
    running.stop().await;
    assert_eq!(world.backends_had(id).await, 3);
    assert!(world.stored(id).await == expected);
}

#[tokio::test]
async fn every_backend_sees_the_same_instant_while_somebody_commits_all_the_time() {
    let world = world().await;
    world.sql("create table public.version as select 1 as v; grant select on public.version to app").await;
    world.split_report("items", "select id, (select max(v) from version) as v from item order by id", "id", "").await;
    let (writer, stop) = (world.another_admin().await, tokio_util::sync::CancellationToken::new());
    let stopped = stop.clone();
    let writing = tokio::spawn(async move {
        while !stopped.is_cancelled() {
            writer.batch_execute("update public.version set v = v + 1").await.unwrap();
        }
    });
    world.until("select v > 10 from public.version").await;
    let ids = [world.request_split("items", "").await, world.request_split("items", "").await];
    let mut world = world;
    world.settings.work.slots = 1;
    world.complete(&ids).await;
    stop.cancel();
    writing.await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for id in ids {
        assert_eq!(world.backends_had(id).await, 3);
        let file = String::from_utf8(world.stored(id).await).unwrap();
        let versions: std::collections::BTreeSet<String> =
            file.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().to_string()).collect();
        assert_eq!(versions.len(), 1, "{versions:?}");
        seen.extend(versions);
    }
    assert_eq!(seen.len(), 2, "it was written all the time");
}

/// Queries that slices of one another would not make up, that no index helps, or that are small.
#[tokio::test]
async fn what_slices_do_not_fit_together_for_or_do_not_pay_for_is_made_by_one_backend() {
    let mut world = world().await;
    world.sql("create table public.heap as select id, repeat(filler, 6) as filler from public.item; grant select on public.heap to app; analyze public.heap").await;
    for (name, query, key) in [
        ("limited", "select id, filler from item order by word limit 4000", "id"),
        ("windowed", "select row_number() over () as n, filler from item", "n"),
        ("random", "select (random() * id)::int as r, id from item", "r"),
        ("timed", "select id, now() as made_at from item", "id"),
        ("timed_too", "select id, filler from item where day < current_date", "id"),
        ("heap", "select id, filler from heap", "id"),
        ("generated", "select n, md5(n::text) as m from generate_series(1, 5000) as n", "n"),
    ] {
        world.split_report(name, query, key, "").await;
        let id = world.request_split(name, "").await;
        world.complete(&[id]).await;
        assert_eq!(world.backends_had(id).await, 1, "{name}");
    }
    world.split_report("few", "select id from item where id < 50", "id", "").await;
    world.split_report("all", "select id from item", "id", "").await;
    let few = world.request_split("few", "").await;
    world.complete(&[few]).await;
    assert_eq!((world.backends_had(few).await, world.export(few).await["rows"].as_i64()), (1, Some(49)));
    world.settings.split = SplitOptions::default();
    let all = world.request_split("all", "").await;
    world.complete(&[all]).await;
    assert_eq!(world.backends_had(all).await, 1, "200,000 rows are expected of a file that is split");
}

#[tokio::test]
async fn auto_streams_a_report_that_is_split_and_leaves_it_to_the_database_where_none_is() {
    let mut world = World::with_aws_s3().await;
    world.settings.split = SplitOptions { backends: 2, least_rows: 100.0, slice_bytes: 30_000.0 };
    let role = world.exporting_role("aws_s3");
    world.sql(&super::ITEMS.replace("to app", &format!("to {role}"))).await;
    world
        .sql(&format!(
            "select exportbox.register_report('items', 'select id, filler from item order by id', run_as => '{role}', split_key => 'id')"
        ))
        .await;
    let expected = world.copy("select id, filler from item order by id", "format csv, header true").await;
    for (backends, exporter) in [(2, "copy"), (1, "aws_s3")] {
        world.settings.split.backends = backends;
        let id = world.request_split("items", "").await;
        world.complete(&[id]).await;
        assert_eq!(
            (world.exporters(id).await, world.backends_had(id).await),
            (vec![exporter.to_string()], i64::try_from(backends).unwrap())
        );
        assert!(world.stored(id).await == expected);
    }
}
