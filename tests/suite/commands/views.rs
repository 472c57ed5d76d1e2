//! `status`, `show`, `watch` and `health`.

use serde_json::Value;
use uuid::Uuid;

use crate::harness::process::{code, json, stderr, stdout};
use crate::harness::{World, postgres};

/// A world with one export in each of these states: completed with a mail, dead, cancelled, pending for later.
async fn world_with_history() -> (World, [Uuid; 4]) {
    let world = World::new().await;
    let completed = world.request("select 'needle' as n from generate_series(1, 1500)", &["ann@example.com"]).await;
    let dead = world.request("select needle", &[]).await;
    let cancelled = world.request("select 1", &[]).await;
    world.cancel(cancelled).await;
    let later = world.request_with("select 1", &[], "run_at => now() + interval '1 day'").await;
    world.drain().await;
    (world, [completed, dead, cancelled, later])
}

#[tokio::test]
async fn status_lists_what_is_due_dead_and_new_for_people_and_for_programs() {
    let (world, ids) = world_with_history().await;
    let human = stdout(&world.run(&["status"]).await);
    for (id, state) in ids.iter().zip(["completed", "dead", "cancelled", "pending"]) {
        assert!(human.lines().any(|line| line.starts_with(&id.to_string()) && line.contains(state)), "{state}: {human}");
    }
    assert!(human.contains("1,500 rows") && human.contains("0 due") && human.contains("1 dead"), "{human}");
    assert!(!human.contains("needle") && !human.contains("ann@"), "data of a request in {human}");
    let status = json(&world.run(&["status", "--json", "--limit", "2"]).await);
    assert_eq!((&status["dead"], &status["waiting"], &status["jobs"]["export dead"]), (&1.into(), &1.into(), &1.into()), "{status}");
    let listed: Vec<&str> = status["exports"].as_array().unwrap().iter().map(|export| export["id"].as_str().unwrap()).collect();
    assert_eq!(listed, [ids[3].to_string(), ids[2].to_string()], "the newest first");
}

#[tokio::test]
async fn status_of_an_empty_database_says_where_to_begin() {
    let world = World::new().await;
    assert!(stdout(&world.run(&["status"]).await).contains("insert a row into exportbox.outbox"));
}

#[tokio::test]
async fn show_tells_the_whole_story_of_one_export() {
    let (world, [completed, dead, ..]) = world_with_history().await;
    let human = stdout(&world.run(&["show", &completed.to_string()]).await);
    for part in ["state      completed", "1,500 rows", "FILES", "sha256:", "MAILS", "accepted", "TIMELINE", "copy"] {
        assert!(human.contains(part), "{part} is missing: {human}");
    }
    // In the order in which it went, each with the time since the request.
    let told = [
        "requested by app: an ad-hoc query",
        "export: attempt 1 claimed by",
        "export: completed after",
        "1 file stored",
        "mail to a***@example.com: attempt 1",
        "mail to a***@example.com: accepted by ses after",
        "completed, ",
    ];
    let lines: Vec<&str> = human.lines().skip_while(|line| !line.starts_with("TIMELINE")).skip(1).take(told.len()).collect();
    for (line, told) in lines.iter().zip(told) {
        assert!(line.contains(&format!("  {told}")) && line.contains("  +"), "{told}: {human}");
    }
    let story = json(&world.run(&["show", "--json", &completed.to_string()]).await);
    let lengths: Vec<usize> =
        ["objects", "deliveries", "attempts", "events"].iter().map(|part| story[part].as_array().unwrap().len()).collect();
    assert_eq!((story["export"]["state"].as_str(), lengths), (Some("completed"), vec![1, 1, 2, 0]));
    let human = stdout(&world.run(&["show", &dead.to_string()]).await);
    assert!(human.contains("[query]") && human.contains("buried"), "{human}");
}

#[tokio::test]
async fn an_unknown_export_is_said_to_be_unknown() {
    let world = World::new().await;
    let id = Uuid::new_v4().to_string();
    for command in ["show", "watch"] {
        let output = world.run(&[command, &id]).await;
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains(&id) && stderr(&output).contains("exportbox status"), "{}", stderr(&output));
    }
}

#[tokio::test]
async fn what_is_no_id_and_what_a_login_may_not_see_is_said_in_words() {
    let world = World::new().await;
    for command in ["show", "watch"] {
        let output = world.run(&[command, "monthly-orders"]).await;
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains("an export's id is a UUID; exportbox status lists them"), "{}", stderr(&output));
    }
    drop(world.login("nobody", &[]).await);
    let name = format!("nobody_{}", world.database);
    let url = postgres().url(&name, &name, &world.database);
    for command in [
        &["status"][..],
        &["health"],
        &["show", "0192d3a4-5b6c-7d8e-9f01-23456789abcd"],
        &["watch", "0192d3a4-5b6c-7d8e-9f01-23456789abcd"],
    ] {
        let output = world.run_with(command, &[("EXPORTBOX_DATABASE_URL", &url)]).await;
        assert_eq!(code(&output), 2, "{command:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("lacks a privilege") && stderr(&output).contains("docs/dba.md"), "{}", stderr(&output));
    }
    // Another requester's export is to a requester as if there were none.
    let id = world.request("select 1", &[]).await.to_string();
    drop(world.login("eve", &["exportbox_requester"]).await);
    let name = name.replace("nobody", "eve");
    let eve = postgres().url(&name, &name, &world.database);
    let output = world.run_with(&["show", &id], &[("EXPORTBOX_DATABASE_URL", &eve)]).await;
    assert_eq!((code(&output), stderr(&output).contains("there is no export")), (1, true), "{}", stderr(&output));
}

#[tokio::test]
async fn watch_follows_an_export_to_its_end_and_exits_by_it() {
    let (world, [completed, dead, cancelled, _]) = world_with_history().await;
    for (id, state, expected) in [(completed, "completed", 0), (dead, "dead", 1), (cancelled, "cancelled", 1)] {
        let output = world.run(&["watch", &id.to_string()]).await;
        assert_eq!((code(&output), stdout(&output).starts_with(state)), (expected, true), "{}", stdout(&output));
    }
    let id = world.request("select 1", &["ann@example.com"]).await;
    let watching = world.spawn(&["watch", "--json", &id.to_string()]);
    world.until("select count(*) > 0 from pg_stat_activity where application_name like 'exportbox cli:%' and state = 'idle'").await;
    world.drain().await;
    let watched = watching.wait_with_output().await.unwrap();
    let states: Vec<String> =
        stdout(&watched).lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["state"].as_str().unwrap().to_string()).collect();
    assert_eq!((code(&watched), states.last().map(String::as_str)), (0, Some("completed")), "{states:?}");
    assert_eq!(states[0], "pending");
}

#[tokio::test]
async fn health_is_0_while_the_database_serves() {
    let (world, _) = world_with_history().await;
    let human = world.run(&["health"]).await;
    assert_eq!(code(&human), 0);
    assert!(stdout(&human).starts_with("0 due"), "{}", stdout(&human));
    let health = json(&world.run(&["health", "--json"]).await);
    assert_eq!((&health["due"], &health["waiting"], &health["running"], &health["dead"]), (&0.into(), &1.into(), &0.into(), &1.into()));
    world.hold("export", "store_config", "The bucket is missing.", "null").await;
    assert!(stdout(&world.run(&["health"]).await).contains("ON HOLD  export: The bucket is missing."));
}
