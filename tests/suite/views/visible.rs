//! Who sees which rows, also with a function of their own in the condition, and with conditions on what a view derives.

use crate::harness::World;

/// Each with a column of the table that it is driven from: what could be asked about it before anything else is looked up.
const VIEWS: [(&str, &str); 6] =
    [("exports", "id"), ("jobs", "error"), ("attempts", "number"), ("deliveries", "status"), ("objects", "filename"), ("events", "kind")];

#[tokio::test]
async fn a_function_in_a_requesters_condition_is_shown_none_of_the_rows_of_others() {
    let world = World::new().await;
    let theirs = world.request("select 1", &["ann@example.com"]).await;
    world.drain().await;
    world.note_event(theirs, "reaped").await;
    // Free of charge, so that the planner would ask it first.
    world
        .sql(
            "create function public.peek(seen text) returns boolean language plpgsql cost 0.000001
             as $$begin raise exception 'seen: %', seen; end$$",
        )
        .await;
    let eve = world.login("eve", &["exportbox_requester"]).await;
    for (view, column) in VIEWS {
        for condition in [format!("peek({view}::text)"), format!("peek({column}::text)")] {
            let rows = eve.query(&format!("select * from exportbox.{view} where {condition}"), &[]).await;
            assert!(rows.is_ok_and(|rows| rows.is_empty()), "{view}: {condition} is shown a row of somebody else's");
        }
        // The function does raise where there is a row to see.
        let seen = world.admin.query(&format!("select * from exportbox.{view} where public.peek({view}::text)"), &[]).await;
        assert!(seen.is_err(), "{view} has no row at all");
    }
}

#[tokio::test]
async fn each_of_two_requesters_sees_the_own_rows_in_every_view() {
    let world = World::new().await;
    let id = world.request("select 1", &["ann@example.com"]).await;
    world.drain().await;
    world.note_event(id, "reaped").await;
    let (app, eve) = (world.app().await, world.login("eve", &["exportbox_requester"]).await);
    for (view, _) in VIEWS {
        let count = format!("select count(*) from exportbox.{view}");
        let (own, others): (i64, i64) =
            (app.query_one(&count, &[]).await.unwrap().get(0), eve.query_one(&count, &[]).await.unwrap().get(0));
        assert!(own > 0, "{view} hides the requester's own rows");
        assert_eq!(others, 0, "{view} shows them to another");
    }
}
