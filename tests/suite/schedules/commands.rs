//! `exportbox schedule add|list|show|next|disable|enable|remove`.

use serde_json::json;

use crate::harness::World;
use crate::harness::process::{assert_gave_up, code, json, stderr, stdout};

const ORDERS: &str = r#"
name = "orders"
cron = "0 6 1 * *"
time_zone = "Europe/Berlin"
report = "monthly"
requester = "app"
recipients = ["ann@example.com"]
filename = "orders-{month}.csv"
link_ttl = "7d"
catch_up = "all"
catch_up_limit = 12

[params]
month = { due = "start of previous month" }
"#;

#[tokio::test]
async fn a_file_is_registered_once_shown_planned_switched_and_removed() {
    let (world, _) = World::with_a_monthly_report().await;
    let url = world.dba_url();
    let as_operator = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    let file = world.file_of("orders.toml", ORDERS);
    let path = file.to_str().unwrap();
    let run = |arguments: Vec<String>| {
        let (world, as_operator) = (&world, &as_operator);
        async move { world.run_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), as_operator).await }
    };
    let schedule = |words: &str| run(["schedule".to_string()].into_iter().chain(words.split(' ').map(ToString::to_string)).collect());

    let dry = schedule(&format!("add --dry-run {path}")).await;
    assert!(stdout(&dry).starts_with("orders: would register, next due ") && stdout(&dry).contains(" 06:00 CE"), "{}", stderr(&dry));
    assert_eq!(world.count("select count(*) from exportbox.schedule").await, 0);
    assert!(stdout(&schedule(&format!("add {path}")).await).starts_with("orders: registered, "));
    let again = json(&schedule(&format!("add --json {path}")).await);
    assert_eq!(again["schedules"][0]["result"], "unchanged");
    // Reckoned by the command already.
    let shown = json(&schedule("show orders --json").await);
    assert_eq!((&shown["state"], &shown["catch_up_limit"], &shown["requester"]), (&json!("active"), &json!(12), &json!("app")));
    assert_eq!((&shown["request"]["link_ttl"], &shown["request"]["recipients"]), (&json!("168:00:00"), &json!(["ann@example.com"])));
    let human = stdout(&schedule("show orders").await);
    assert!(human.contains("start of previous month") && human.contains("1 recipient") && !human.contains("ann@"), "{human}");
    assert!(stdout(&schedule("list").await).contains("Europe/Berlin"));

    // A registered one and its file are due at the same instants.
    let (named, of_file) =
        (json(&schedule("next orders --json --count 3").await), json(&schedule(&format!("next {path} --json --count 3")).await));
    assert_eq!((named["next"].as_array().unwrap().len(), &named["next"]), (3, &of_file["next"]));
    assert_eq!(named["next"][0].as_str().map(|at| &at[..16]), shown["next_due_at"].as_str().map(|at| &at[..16]));
    assert_eq!(stdout(&schedule("next orders").await).lines().count(), 5);

    assert!(stdout(&schedule("disable orders").await).contains("requests nothing"));
    assert!(stdout(&schedule("list").await).contains("disabled"));
    assert_eq!(json(&schedule("enable orders --json").await)["changed"], true);
    assert_eq!(code(&schedule("remove orders").await), 0);
    assert_gave_up(&schedule("remove orders").await, 1, &["there is no schedule"], "hunter2");
    assert_gave_up(&schedule("show orders").await, 1, &["there is no schedule"], "hunter2");
}

#[tokio::test]
async fn what_is_wrong_in_a_file_is_told_with_file_and_key_and_nothing_is_registered() {
    let (world, _) = World::with_a_monthly_report().await;
    let url = world.dba_url();
    let as_operator = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    let right = world.file_of("right.toml", &ORDERS.replace("\"orders\"", "\"right\""));
    for (from, to, exit, words) in [
        ("0 6 1 * *", "0 6 30 2 *", 2, ["wrong.toml", "never due"]),
        ("0 6 1 * *", "0 6 * *", 2, ["wrong.toml", "day of month"]),
        ("Europe/Berlin", "Berlin", 2, ["wrong.toml", "Europe/Berlin"]),
        ("catch_up =", "catchup =", 2, ["wrong.toml", "catchup"]),
        ("start of previous month", "start of last month", 1, ["wrong.toml", "reckoned"]),
        ("\"monthly\"", "\"yearly\"", 1, ["wrong.toml", "there is no report"]),
        ("\"app\"", "\"postgres\"", 1, ["wrong.toml", "may not schedule"]),
    ] {
        let wrong = world.file_of("wrong.toml", &ORDERS.replace(from, to));
        let output = world.run_with(&["schedule", "add", right.to_str().unwrap(), wrong.to_str().unwrap()], &as_operator).await;
        assert_gave_up(&output, exit, &words, "hunter2");
        assert_eq!(world.count("select count(*) from exportbox.schedule").await, 0, "{to}");
    }
}
