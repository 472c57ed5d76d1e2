//! What the commands print with `--json` is what `docs/schema/exportbox.schema.json` says.

use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::files::text;
use crate::harness::process::{json, stdout};

fn schema() -> Value {
    serde_json::from_str(&text("docs/schema/exportbox.schema.json")).unwrap()
}

/// Everything that is wrong with a document, by one of the schema's definitions.
fn wrong(definition: &str, document: &Value) -> Vec<String> {
    let mut schema = schema();
    assert!(schema["$defs"][definition].is_object(), "no definition {definition}");
    schema["$ref"] = json!(format!("#/$defs/{definition}"));
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn assert_fits(definition: &str, document: &Value) {
    let wrong = wrong(definition, document);
    assert!(wrong.is_empty(), "{definition}: {wrong:#?}\n{document:#}");
}

#[tokio::test]
async fn what_status_show_watch_and_health_print_fits_the_schema_in_every_state() {
    let world = World::new().await;
    assert_fits("status", &json(&world.run(&["status", "--json"]).await));
    let gate = world.gate().await;
    let daemon = world.start().await;
    let running = world.request(crate::harness::GATED, &[]).await;
    world.until_at_gate(running).await;
    let mut ids = vec![running];
    ids.push(world.request_with("select 1", &[], "run_at => now() + interval '1 day'").await);
    let (completed, dead) = (world.request("select 1", &["ann@example.com"]).await, world.request("select nonsense", &[]).await);
    world.until_state(completed, "completed").await;
    world.until_state(dead, "dead").await;
    let cancelled = world.request_with("select 1", &[], "run_at => now() + interval '1 day'").await;
    world.cancel(cancelled).await;
    ids.extend([completed, dead, cancelled]);

    let status = json(&world.run(&["status", "--json"]).await);
    assert_fits("status", &status);
    assert_eq!(status["exports"].as_array().unwrap().len(), 5);
    assert!(status["jobs"]["export running"] == 1 && status["jobs"]["export dead"] == 1, "{status}");
    let health = json(&world.run(&["health", "--json"]).await);
    assert_fits("health", &health);
    let mut parts = 0;
    for id in &ids {
        let story = json(&world.run(&["show", "--json", &id.to_string()]).await);
        assert_fits("show", &story);
        parts +=
            ["objects", "deliveries", "attempts", "events"].iter().filter(|part| !story[**part].as_array().unwrap().is_empty()).count();
    }
    assert!(parts >= 6, "some kind of row was in no story");
    gate.open().await;
    for id in [running, completed, dead, cancelled] {
        let watched = stdout(&world.run(&["watch", "--json", &id.to_string()]).await);
        for line in watched.lines() {
            assert_fits("watch", &serde_json::from_str(line).unwrap());
        }
        assert!(!watched.is_empty());
    }
    daemon.stop().await;

    // The schema refuses what it must.
    for (change, value) in
        [("state", json!("finished")), ("rows", json!("many")), ("percent", json!(101)), ("requested_at", json!("yesterday"))]
    {
        let mut export = status["exports"][0].clone();
        export[change] = value;
        assert!(!wrong("export", &export).is_empty(), "{change}");
    }
    let mut health = health;
    health.as_object_mut().unwrap().remove("due");
    assert!(!wrong("health", &health).is_empty());
}
