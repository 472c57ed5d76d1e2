//! Dead letters: each says why, since when and what to do, in one place and in the same words everywhere.

use exportbox::job::FailureClass;
use exportbox::sandbox::{Action, Rule};

use crate::harness::World;
use crate::harness::files::text;
use crate::harness::process::{code, json, stdout};

/// What jobs die of beside the classes of failures.
const OTHERS: [&str; 2] = ["crashed", "unknown"];

/// A world in which a query, a mail and an upload have failed for good.
async fn world_with_dead_letters() -> World {
    let world = World::new().await;
    world.register("sales", "select needle", ", plan => false").await;
    world.request_report("sales", serde_json::json!({}), "").await;
    let rejected = Action::error(400, "MessageRejected", "No mail for bob@example.com.");
    world.ses.faults().add(Rule::on("SendEmail", rejected).key_contains("bob@"));
    world.request("select 1 as one", &["bob@example.com"]).await;
    world.drain().await;
    world
}

#[tokio::test]
async fn the_view_says_what_failed_first_and_last_by_which_code_and_what_to_do() {
    let world = world_with_dead_letters().await;
    let lines = "select string_agg(concat_ws(' | ', kind, coalesce(report, 'ad hoc'), requested_by, error_class, code, attempts, what_to_do), E'\\n' order by kind)
        from exportbox.dead where died_at > now() - interval '1 minute'";
    assert_eq!(
        world.text(lines).await,
        "delivery | ad hoc | app | mail_rejected | MessageRejected | 1 | Correct the address and request it again; in the sandbox of SES, ask AWS for production access.\n\
         export | sales | app | query | 42703 | 1 | Request a corrected query; this one would fail again."
    );
    // The first error and the last one, where they differ.
    let id = world.request_with("select 1 as one", &[], "max_attempts => 2").await;
    let slow_down = Action::error(503, "SlowDown", "Please reduce your request rate.");
    world.s3.faults().add(Rule::on("PutObject", slow_down).times(50));
    world.drain().await;
    world.s3.faults().clear();
    world.let_time_pass().await;
    world.s3.faults().add(Rule::on("PutObject", Action::error(500, "InternalError", "No.")).times(50));
    world.drain().await;
    let line = format!("select first_error || ' | ' || last_error || ' | ' || code from exportbox.dead where export_id = '{id}'");
    assert_eq!(
        world.text(&line).await,
        "The store asks to slow down. | The store failed to answer: it is away, slow or has a fault of its own. | InternalError"
    );
}

#[tokio::test]
async fn a_requester_sees_its_own_dead_letters_and_nobody_sees_data_in_them() {
    let world = world_with_dead_letters().await;
    let other = world.login("other", &["exportbox_requester", "exportbox_adhoc"]).await;
    let reader = world.login("reader", &["exportbox_reader"]).await;
    for (client, letters) in [(&world.app().await, 2), (&other, 0), (&reader, 2)] {
        let rows = client.query("select to_jsonb(d)::text from exportbox.dead as d", &[]).await.unwrap();
        let shown: String = rows.iter().map(|row| row.get::<_, &str>(0)).collect();
        assert_eq!(rows.len(), letters);
        assert!(!shown.contains("bob@") && !shown.contains("needle") && !shown.contains("canary"), "{shown}");
    }
}

#[tokio::test]
async fn every_class_has_one_sentence_on_what_to_do_and_the_documentation_repeats_it() {
    let world = World::new().await;
    let text = text("docs/operations/error-classes.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let documented: Vec<(String, String)> =
        rows.iter().map(|cells| (cells[0].trim_matches('`').to_string(), cells.last().unwrap().replace('`', ""))).collect();
    let mut remedies = Vec::new();
    for class in FailureClass::ALL.map(FailureClass::as_str).into_iter().chain(OTHERS) {
        let remedy = world.text(&format!("select exportbox.remedy('{class}')")).await;
        assert!(remedy.ends_with('.'), "{class}: {remedy:?}");
        remedies.push((class.to_string(), remedy));
    }
    assert_eq!(documented, remedies, "exportbox.remedy and the last column of docs/operations/error-classes.md");
    assert_eq!(world.text("select exportbox.remedy('cancelled')").await, "");
}

#[tokio::test]
async fn the_commands_list_them_by_filter_and_say_what_to_do() {
    let world = world_with_dead_letters().await;
    let human = stdout(&world.run(&["dead"]).await);
    for words in ["of report sales", "query (42703)", "mail_rejected (MessageRejected)", "last   ", "to do  Request a corrected query"] {
        assert!(human.contains(words), "{words} is missing: {human}");
    }
    assert!(!human.contains("needle") && !human.contains("bob@"), "{human}");
    for (filter, kinds) in [
        (&["--kind", "delivery"][..], "delivery"),
        (&["--report", "sales"], "export"),
        (&["--error-class", "query", "--since", "1h"], "export"),
        (&["--until", "1h"], ""),
        (&["--requested-by", "app", "--limit", "1", "--kind", "export"], "export"),
    ] {
        let output = world.run(&[&["dead", "--json"], filter].concat()).await;
        assert_eq!(code(&output), 0);
        let listed: Vec<String> = stdout(&output)
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_string())
            .collect();
        assert_eq!(listed.join(" "), kinds, "{filter:?}");
    }
    let id = world.text("select export_id::text from exportbox.dead where kind = 'export'").await;
    let shown = stdout(&world.run(&["show", &id]).await);
    assert!(shown.contains("to do about the dead export: Request a corrected query; this one would fail again."), "{shown}");
    let story = json(&world.run(&["show", "--json", &id]).await);
    assert_eq!(story["dead"][0]["code"], "42703");
    assert!(stdout(&world.run(&["dead", "--report", "none"]).await).contains("nothing is dead"));
}
