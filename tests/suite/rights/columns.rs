//! What every text column of the schema may hold, and that an erased address is in none of them.

use std::collections::BTreeSet;

use crate::harness::World;

const ADDRESS: &str = "ann@example.com";

/// What a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// What an application or the other side said: addresses among it. Erased.
    Payload,
    /// Sentences of our own, which hold no address; searched all the same.
    Words,
    /// A report's text, written by its author. Kept; erase says which reports name the address.
    Authored,
    /// The name of a database role: who did it. Kept, as the audit would be none without.
    Role,
    /// A place in the bucket, which ends in the file's name without its special characters. Kept while its file is.
    Place,
    /// States, ids, hashes, numbers.
    Technical,
}

use Holds::{Authored, Payload, Place, Role, Technical, Words};

const COLUMNS: &[(&str, Holds, &str)] = &[
    ("report", Technical, "name formats recipient_domains kms_key prefix source split_key"),
    ("report", Authored, "description query params"),
    ("report", Role, "run_as created_by requesters"),
    ("outbox", Technical, "report format compression"),
    ("outbox", Payload, "query params recipients format_options filename idempotency_key subject message metadata"),
    ("outbox", Role, "requested_by"),
    ("job", Technical, "kind state worker error_class report source"),
    ("job", Words, "error"),
    ("job", Payload, "params"),
    ("attempt", Technical, "worker outcome exporter source bucket upload_id error_class"),
    ("attempt", Words, "error"),
    ("attempt", Payload, "error_detail"),
    ("attempt", Place, "object_key"),
    ("object", Technical, "bucket checksum content_type"),
    ("object", Payload, "filename"),
    ("object", Place, "key"),
    ("event", Technical, "kind"),
    ("event", Role, "actor login"),
    ("event", Words, "detail"),
    ("control", Technical, "scope error_class"),
    ("control", Words, "reason"),
    ("control", Role, "held_by"),
    ("worker", Technical, "id channel version"),
    // Its reason refuses whatever looks like an address.
    ("pause", Technical, "scope reason"),
    ("pause", Role, "paused_by"),
    ("message", Technical, "origin status provider message_id link_cut_by error_class"),
    ("message", Payload, "recipient"),
    ("message", Words, "error"),
    ("last_drain", Technical, "ended"),
    ("privacy_key", Technical, "key"),
    // Their reasons refuse whatever looks like an address.
    ("erasure", Technical, "address_hash counts reason"),
    ("erasure", Role, "actor"),
    ("legal_hold", Technical, "address_hash reason"),
    ("legal_hold", Role, "placed_by"),
    ("schedule", Technical, "name cron time_zone report format compression catch_up"),
    ("schedule", Role, "requester created_by"),
    ("schedule", Payload, "params recipients format_options filename subject message metadata"),
    ("schedule", Words, "error"),
    ("leftover", Technical, "bucket"),
    ("leftover", Place, "key"),
    ("chore", Technical, "name worker"),
    ("schema_history", Technical, "name applied_on checksum"),
];

fn columns(of: impl Fn(Holds) -> bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    COLUMNS.iter().filter(move |(_, holds, _)| of(*holds)).flat_map(|(table, _, names)| names.split(' ').map(move |name| (*table, name)))
}

#[tokio::test]
async fn every_column_that_can_hold_text_is_classified() {
    let world = World::new().await;
    let there = world.text_columns().await;
    let classified: BTreeSet<String> = columns(|_| true).map(|(table, column)| format!("{table}.{column}")).collect();
    let unclassified: Vec<&String> = there.difference(&classified).collect();
    assert!(unclassified.is_empty(), "say in COLUMNS what these hold, and have exportbox.erase deal with it: {unclassified:?}");
    let gone: Vec<&String> = classified.difference(&there).collect();
    assert!(gone.is_empty(), "these are no columns any more: {gone:?}");
}

#[tokio::test]
async fn an_erased_address_is_in_no_column_of_any_table() {
    let world = World::new().await;
    world.sql("create table public.item (word text)").await;
    let alone = world.request("select 1 as one", &[ADDRESS]).await;
    let shared = world.request("select 2 as two", &["bob@example.com", ADDRESS]).await;
    let dead = world.request("select nonsense", &[ADDRESS]).await;
    world.request("select 3 as three", &[]).await;
    world.drain().await;
    world.hold_deliveries().await;
    world.note_event(shared, "link_cut").await;
    world.queue("one").gather_failures(std::time::Duration::ZERO).await.unwrap();

    world
        .sql(&format!(
            "insert into exportbox.schedule (name, cron, time_zone, requester, report, recipients)
             values ('orders', '0 6 * * *', 'UTC', 'app', 'orders', array['bob@example.com', '{ADDRESS}'])"
        ))
        .await;

    // The address everywhere that a text may be, in several spellings: past the triggers, as some later version might let it in.
    world.sql("set session_replication_role = replica").await;
    for (table, column) in columns(|holds| matches!(holds, Payload | Words)) {
        let value = match (table, column) {
            ("message", "recipient") => format!("case when recipient = '{ADDRESS}' then 'Ann@Example.com' else recipient end"),
            ("outbox" | "schedule", "recipients") => "recipients".into(),
            ("outbox", "idempotency_key") => format!("id || '-{ADDRESS}'"),
            (_, "params" | "metadata" | "format_options") => {
                format!("'{{\"to\": [\"{ADDRESS}\", \"a\\n{ADDRESS}\\tb\", \"\\u0001{ADDRESS}\"], \"{ADDRESS}\": 1}}'")
            }
            (_, "filename") => format!("'statement_{ADDRESS}.csv'"),
            _ => format!("'<{ADDRESS}> and (Ann@EXAMPLE.com), email=''{ADDRESS}'', ..{ADDRESS} {ADDRESS}-2026 {ADDRESS}-'"),
        };
        world.sql(&format!("update exportbox.{table} set {column} = {value}")).await;
    }
    world.sql("set session_replication_role = origin").await;
    let planted: BTreeSet<String> = columns(|holds| matches!(holds, Payload | Words)).map(|(t, c)| format!("{t}.{c}")).collect();
    let found: BTreeSet<String> = world.places_of(ADDRESS).await.into_iter().collect();
    assert_eq!(found, planted, "every column of the class was planted in some row");

    let said = world.operator().await.query_one("select exportbox.erase($1)", &[&" ANN@example.com "]).await.unwrap();
    let said: serde_json::Value = said.get(0);
    assert_eq!((&said["requests"], &said["deliveries"], &said["objects"]), (&4.into(), &3.into(), &1.into()), "{said}");
    assert_eq!(world.places_of(ADDRESS).await, Vec::<String>::new());
    // What a server said of an export that was for her alone may be about her without naming her.
    let kept = "select count(*) from exportbox.attempts where error_detail is not null and kind = 'export' and export_id = any ($1)";
    assert_eq!(world.row(kept, &[&vec![alone, dead]]).await.get::<_, i64>(0), 0);
    for id in [alone, shared, dead] {
        assert!(world.history(id).await.contains(&"erased".to_string()));
    }
}

#[tokio::test]
async fn another_persons_longer_address_stays_as_it_is() {
    let world = World::new().await;
    let others = [
        "joann@example.com",
        "mary-ann@example.com",
        "ann@example.com.au",
        "ann@example.com-shop.de",
        "ann+shop@example.com",
        "x.ann@example.com",
    ];
    let message = format!("Ask {} or {ADDRESS}.", others.join(", "));
    let id = world.request_with("select 1 as one", &[&others[..], &[ADDRESS]].concat(), &format!("message => '{message}'")).await;
    world.operator().await.execute("select exportbox.erase($1)", &[&ADDRESS]).await.unwrap();
    let row = world.row("select recipients, message from exportbox.outbox where id = $1", &[&id]).await;
    assert_eq!(row.get::<_, Vec<String>>(0), others);
    let kept: String = row.get(1);
    assert!(others.iter().all(|other| kept.contains(other)) && kept.contains("or erased:") && kept.ends_with('.'), "{kept}");
    world.drain().await;
    assert_eq!(world.mails().len(), others.len());
}

#[tokio::test]
async fn erase_says_which_reports_name_the_address() {
    let world = World::new().await;
    world.sql(&format!("select exportbox.register_report('of-ann', 'select 1 where ''x'' = ''{ADDRESS}''', run_as => 'app')")).await;
    let said: serde_json::Value = world.row("select exportbox.erase($1)", &[&ADDRESS]).await.get(0);
    assert_eq!(said["reports"], serde_json::json!(["of-ann"]));
}

#[tokio::test]
async fn an_address_that_only_a_reports_default_brought_into_a_request_is_found_there() {
    let world = World::new().await;
    let params = format!(r#"{{"who": {{"type": "text", "default": "{ADDRESS}"}}}}"#);
    let register = "select exportbox.register_report('of-one', 'select exportbox.param(''who'') as who', $1, 'app')";
    world.row(register, &[&serde_json::from_str::<serde_json::Value>(&params).unwrap()]).await;
    let id = world.request_report("of-one", serde_json::json!({}), "").await;
    let said: serde_json::Value = world.operator().await.query_one("select exportbox.erase($1)", &[&ADDRESS]).await.unwrap().get(0);
    assert_eq!((&said["requests"], &said["cancelled"]), (&1.into(), &1.into()), "{said}");
    assert_eq!(world.places_of(ADDRESS).await, ["report.params"], "the author's own text stays, and is named");
    assert_eq!(said["reports"], serde_json::json!(["of-one"]));
    assert_eq!(world.export(id).await["state"], "cancelled");
}
