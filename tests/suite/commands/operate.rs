//! `cancel` and `requeue`.

use uuid::Uuid;

use crate::harness::World;
use crate::harness::process::{code, json, stderr, stdout};

#[tokio::test]
async fn cancel_stops_what_waits_and_requeue_brings_it_back() {
    let world = World::new().await;
    let id = world.request("select 1", &[]).await.to_string();
    let cancelled = world.run(&["cancel", &id]).await;
    assert_eq!((code(&cancelled), stdout(&cancelled)), (0, format!("{id}: cancelled\n")));
    let again = world.run(&["cancel", &id]).await;
    assert_eq!((code(&again), stdout(&again)), (1, format!("{id}: nothing to cancel\n")));
    let requeued = world.run(&["requeue", &id]).await;
    assert_eq!((code(&requeued), stdout(&requeued)), (0, format!("{id}: 1 job requeued\n")));
    let nothing = world.run(&["requeue", &id]).await;
    assert_eq!(code(&nothing), 1);
    assert!(stdout(&nothing).contains("only dead and cancelled"), "{}", stdout(&nothing));
    assert_eq!(json(&world.run(&["cancel", "--json", &id]).await), serde_json::json!({"id": id, "result": "cancelled"}));
    assert_eq!(json(&world.run(&["requeue", "--json", &id]).await), serde_json::json!({"id": id, "jobs": 1}));
    world.drain().await;
    assert_eq!(world.state(id.parse().unwrap()).await, "completed");
}

#[tokio::test]
async fn an_unknown_id_is_refused_with_a_place_to_look() {
    let world = World::new().await;
    let id = Uuid::new_v4().to_string();
    for command in ["cancel", "requeue"] {
        let output = world.run(&[command, &id]).await;
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains(&id) && stderr(&output).contains("exportbox.exports"), "{}", stderr(&output));
    }
}
