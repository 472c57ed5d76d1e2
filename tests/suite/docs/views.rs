//! The documents describe every column as the catalogue does, and the schema of the JSON has them all.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{assert_block, table};
use crate::harness::World;
use crate::harness::files::text;

/// Column, type and comment of every view, by view.
async fn catalogue(world: &World) -> BTreeMap<String, Vec<(String, String, String)>> {
    let columns =
        "select c.relname::text, a.attname::text, replace(format_type(a.atttypid, null), 'timestamp with time zone', 'timestamptz'),
            coalesce(col_description(c.oid, a.attnum), '')
        from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
        where c.relnamespace = 'exportbox'::regnamespace and c.relkind = 'v' and has_table_privilege('exportbox_operator', c.oid, 'select')
        order by c.relname, a.attnum";
    let mut views: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for row in world.admin.query(columns, &[]).await.unwrap() {
        views.entry(row.get(0)).or_default().push((row.get(1), row.get(2), row.get(3)));
    }
    views
}

#[tokio::test]
async fn every_view_is_documented_column_by_column_in_the_words_of_the_catalogue() {
    let world = World::new().await;
    let views = catalogue(&world).await;
    assert!(views.len() >= 9, "{:?}", views.keys());
    for (view, columns) in &views {
        let rows = columns.iter().map(|(name, data_type, comment)| vec![format!("`{name}`"), data_type.clone(), comment.clone()]);
        assert_block("docs/views.md", &format!("view {view}"), &table(&["column", "type", "meaning"], rows));
    }
    let page = text("docs/views.md");
    let documented = page.lines().filter_map(|line| line.strip_prefix("## `exportbox.")?.strip_suffix('`'));
    let gone: Vec<&str> = documented.filter(|view| !views.contains_key(*view)).collect();
    assert!(gone.is_empty(), "documented, and no views any more: {gone:?}");
}

#[tokio::test]
async fn the_schema_of_the_json_has_every_column_of_the_views_that_the_commands_print() {
    let world = World::new().await;
    let there = catalogue(&world).await;
    let schema: Value = serde_json::from_str(&text("docs/schema/exportbox.schema.json")).unwrap();
    let printed = [
        ("export", "exports"),
        ("object", "objects"),
        ("delivery", "deliveries"),
        ("attempt", "attempts"),
        ("event", "events"),
        ("health", "health"),
    ];
    for (definition, view) in printed {
        let definition = &schema["$defs"][definition];
        let described: BTreeMap<&str, &str> = definition["properties"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, property)| (name.as_str(), property["description"].as_str().unwrap()))
            .collect();
        let columns: BTreeMap<&str, &str> = there[view].iter().map(|(name, _, comment)| (name.as_str(), comment.as_str())).collect();
        assert_eq!(described, columns, "{view}");
        let required: Vec<&str> = definition["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(
            required,
            there[view].iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(),
            "{view}: every column is always there"
        );
    }
}
