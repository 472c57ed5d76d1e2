//! Bringing back what was dead or cancelled brings back no right that is gone.

use crate::harness::World;
use crate::harness::requests::refusal;

#[tokio::test]
async fn a_parked_request_is_no_store_of_old_rights() {
    let world = World::new().await;
    let login = world.login("tenant", &["exportbox_requester", "exportbox_adhoc"]).await;
    let tenant = format!("tenant_{}", world.database);
    let register = "select exportbox.register_report('list', 'select 1 as n', run_as => 'app', plan => false";
    world.sql(&format!("{register})")).await;
    let mut parked = Vec::new();
    for asked in ["report => 'list', recipients => '{me@evil.example}'", "query => 'select 1 as n'"] {
        let ask = format!("select exportbox.request_export({asked}, run_at => now() + interval '1 year')");
        let id: uuid::Uuid = login.query_one(&ask, &[]).await.unwrap().get(0);
        login.execute("select exportbox.cancel($1)", &[&id]).await.unwrap();
        parked.push(format!("select exportbox.requeue('{id}')"));
    }
    let (listed, adhoc) = (&parked[0], &parked[1]);
    for (revoke, code) in [
        (format!("{register}, recipient_domains => '{{example.com}}')"), "EB012"),
        (format!("{register}, requesters => '{{app}}')"), "EB013"),
        ("select exportbox.disable_report('list')".to_string(), "EB002"),
    ] {
        world.sql(&revoke).await;
        assert_eq!(refusal(&login, listed).await.code, code, "{revoke}");
    }
    world.sql(&format!("revoke exportbox_adhoc from {tenant}")).await;
    assert_eq!(refusal(&login, adhoc).await.code, "EB003");
    assert_eq!(world.count("select count(*) from exportbox.jobs where state = 'pending'").await, 0);
    // An operator decides for himself, and what is allowed again comes back.
    assert_eq!(world.operator().await.query_one(listed.as_str(), &[]).await.unwrap().get::<_, i32>(0), 1);
    world.sql(&format!("grant exportbox_adhoc to {tenant}")).await;
    assert_eq!(login.query_one(adhoc.as_str(), &[]).await.unwrap().get::<_, i32>(0), 1);
}

#[tokio::test]
async fn a_requeue_that_waited_for_an_erasure_sees_it() {
    let world = World::new().await;
    let id = world.request("select 1 as one", &["ann@example.com"]).await;
    world.cancel(id).await;
    let (erasing, requeueing) = (world.another_admin().await, world.another_admin().await);
    erasing.batch_execute("begin; select exportbox.erase('ann@example.com')").await.unwrap();
    let requeued =
        tokio::spawn(async move { requeueing.query_one("select exportbox.requeue($1)", &[&id]).await.map(|row| row.get::<_, i32>(0)) });
    world.until("select exists (select from pg_stat_activity where query like '%exportbox.requeue%' and wait_event_type = 'Lock' and datname = current_database())").await;
    erasing.batch_execute("commit").await.unwrap();
    assert_eq!(requeued.await.unwrap().unwrap(), 0);
    assert_eq!(world.count("select count(*) from exportbox.jobs where state = 'pending'").await, 0);
}
