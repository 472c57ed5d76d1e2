//! Idempotency keys.

use uuid::Uuid;

use crate::harness::World;
use crate::harness::requests::refusal;

#[tokio::test]
async fn a_second_request_with_the_same_key_is_refused_as_a_duplicate() {
    let world = World::new().await;
    let app = world.app().await;
    let insert = "insert into exportbox.outbox (query, idempotency_key) values ('select 1', 'order-7')";
    app.batch_execute(insert).await.unwrap();
    let said = refusal(&app, insert).await;
    assert_eq!(said.code, "23505");
    assert!(said.message.contains("outbox_idempotency_key"), "{said:?}");
    let twice = "insert into exportbox.outbox (query, idempotency_key) values ('select 1', 'new'), ('select 2', 'new')";
    assert_eq!(refusal(&app, twice).await.code, "23505");
    assert_eq!(world.requests_and_jobs().await, (1, 1));
    // Requests without a key never collide.
    app.batch_execute("insert into exportbox.outbox (query) values ('select 1'), ('select 1')").await.unwrap();
    assert_eq!(world.requests_and_jobs().await, (3, 3));
}

#[tokio::test]
async fn on_conflict_do_nothing_skips_a_repeated_key_without_checking_the_row() {
    let world = World::new().await;
    let app = world.app().await;
    app.batch_execute("insert into exportbox.outbox (query, idempotency_key) values ('select 1', 'order-7')").await.unwrap();
    let past = "insert into exportbox.outbox (query, idempotency_key, not_after) values ('select 1', 'order-7', now() - interval '1 day')";
    for target in ["", "(requested_by, idempotency_key)"] {
        // What was right when it was first asked may be wrong by now: a repetition is no reason to fail.
        let rows = app.query(&format!("{past} on conflict {target} do nothing returning id"), &[]).await.unwrap();
        assert!(rows.is_empty());
    }
    let mixed = "insert into exportbox.outbox (query, idempotency_key) values ('select 1', 'order-7'), ('select 1', 'order-8')
        on conflict do nothing returning idempotency_key";
    let made: Vec<String> = app.query(mixed, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(made, ["order-8"]);
    assert_eq!(world.requests_and_jobs().await, (2, 2));
}

#[tokio::test]
async fn request_export_returns_the_first_id_for_a_repeated_key() {
    let world = World::new().await;
    let app = world.app().await;
    let call = "select exportbox.request_export(query => $1, idempotency_key => 'order-7')";
    let first: Uuid = app.query_one(call, &[&"select 1"]).await.unwrap().get(0);
    let again: Uuid = app.query_one(call, &[&"select 2"]).await.unwrap().get(0);
    assert_eq!(first, again);
    assert_eq!(world.requests_and_jobs().await, (1, 1));
    assert_eq!(world.text("select query from exportbox.outbox").await, "select 1");
}

#[tokio::test]
async fn two_transactions_that_race_for_a_key_make_one_request_and_both_get_its_id() {
    let world = World::new().await;
    let (mut one, other) = (world.app().await, world.app().await);
    let call = "select exportbox.request_export(query => 'select 1', idempotency_key => 'race')";
    let transaction = one.transaction().await.unwrap();
    let first: Uuid = transaction.query_one(call, &[]).await.unwrap().get(0);
    let racing = tokio::spawn(async move { other.query_one(call, &[]).await.unwrap().get::<_, Uuid>(0) });
    world.until("select count(*) = 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'").await;
    transaction.commit().await.unwrap();
    assert_eq!(racing.await.unwrap(), first);
    assert_eq!(world.requests_and_jobs().await, (1, 1));
}

#[tokio::test]
async fn the_same_key_of_another_role_is_another_request() {
    let world = World::new().await;
    let (app, other) = (world.app().await, world.login("other", &["exportbox_requester", "exportbox_adhoc"]).await);
    let call = "select exportbox.request_export(query => 'select 1', idempotency_key => 'order-7')";
    let mine: Uuid = app.query_one(call, &[]).await.unwrap().get(0);
    let theirs: Uuid = other.query_one(call, &[]).await.unwrap().get(0);
    assert_ne!(mine, theirs);
    assert_eq!(world.requests_and_jobs().await, (2, 2));
}
