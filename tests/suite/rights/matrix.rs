//! Every role against every object of the schema. The snapshot is the table that is agreed on: what is not in it fails, a new object too.

use crate::harness::World;
use crate::harness::requests::refusal;

#[tokio::test]
async fn each_role_may_do_with_each_object_what_the_table_says_and_nothing_else() {
    let world = World::new().await;
    let rights = world.rights().await;
    assert!(rights.len() > 80, "{} objects were found", rights.len());
    insta::assert_snapshot!(rights.join("\n"));
}

#[tokio::test]
async fn nobody_may_do_anything() {
    let world = World::new().await;
    let open: Vec<String> = world.rights().await.into_iter().filter(|line| line.contains("nobody")).collect();
    assert_eq!(open, Vec::<String>::new(), "open to PUBLIC");
}

#[tokio::test]
async fn no_function_is_read_by_the_search_path_of_whoever_calls_it() {
    let world = World::new().await;
    let loose = "select coalesce(string_agg(proname, ' '), '') from pg_proc join pg_language on pg_language.oid = prolang
        where pronamespace = 'exportbox'::regnamespace and lanname in ('sql', 'plpgsql') and proconfig is null and prosqlbody is null";
    assert_eq!(world.text(loose).await, "");
}

#[tokio::test]
async fn a_new_object_is_noticed() {
    let world = World::new().await;
    let before = world.rights().await;
    world
        .sql(
            "create table exportbox.new_table (id int);
             create view exportbox.new_view as select 1 as one;
             create function exportbox.new_function() returns int language sql as 'select 1';
             alter table exportbox.outbox add column new_column text;
             alter table exportbox.job add column another_column int;
             create sequence exportbox.new_sequence",
        )
        .await;
    let new: Vec<String> = world.rights().await.into_iter().filter(|line| !before.contains(line)).collect();
    // PostgreSQL's default, which the table does not allow.
    let function =
        "function new_function(): adhoc execute; nobody execute; operator execute; reader execute; requester execute; worker execute";
    let expected =
        ["column outbox.new_column", function, "sequence new_sequence", "table job", "table new_table", "table outbox", "view new_view"];
    for (line, beginning) in new.iter().zip(expected) {
        assert!(line.starts_with(beginning), "{line}");
    }
    assert_eq!(new.len(), expected.len(), "{new:#?}");
}

#[tokio::test]
async fn another_roles_keys_and_ids_tell_a_requester_nothing() {
    let world = World::new().await;
    let other = world.login("other", &["exportbox_requester", "exportbox_adhoc"]).await;
    let id = world.request_with("select 'secret' as one", &["ann@example.com"], "idempotency_key => 'invoice-1'").await;
    let call = "select exportbox.request_export(query => 'select 2', idempotency_key => 'invoice-1')";
    let own: uuid::Uuid = other.query_one(call, &[]).await.unwrap().get(0);
    assert_ne!(own, id, "a key is unique for each role");
    assert_eq!(other.query_one(call, &[]).await.unwrap().get::<_, uuid::Uuid>(0), own);
    // An id that is taken is refused, and that is all.
    let insert = format!("insert into exportbox.outbox (id, query) values ('{id}', 'select 3')");
    assert_eq!(refusal(&other, &insert).await.code, "23505");
    let skipped = other.query(&format!("{insert} on conflict do nothing returning id"), &[]).await.unwrap();
    assert!(skipped.is_empty());
    let update = format!("{insert} on conflict (id) do update set query = excluded.query");
    assert_eq!(refusal(&other, &update).await.code, "42501");
    let seen = other.query("select id, idempotency_key from exportbox.outbox", &[]).await.unwrap();
    assert_eq!(seen.iter().map(|row| row.get::<_, uuid::Uuid>(0)).collect::<Vec<_>>(), [own]);
}
