//! Whose requests they are: a schedule gives nobody a right, neither who registers it nor who works it.

use serde_json::json;

use crate::harness::World;
use crate::harness::requests::refusal;
use crate::harness::schedules::MONTHLY;

#[tokio::test]
async fn nobody_schedules_for_a_role_that_he_could_not_request_as() {
    let (world, dba) = World::with_a_monthly_report().await;
    let register = |requester: &str| {
        format!("select exportbox.register_schedule('orders', {})", MONTHLY.replace("=> 'app'", &format!("=> {requester}")))
    };
    // An operator who is no member of the application's role.
    let operator = world.operator().await;
    for (client, requester, words) in [
        (&operator, "'app'", "may not schedule requests of \"app\""),
        (&operator, "null", "may not request exports"),
        (&dba, "'postgres'", "may not schedule requests of"),
        (&dba, "'nobody-there'", "may not schedule requests of"),
    ] {
        let said = refusal(client, &register(requester)).await;
        assert!(said.code == "EB082" && said.message.contains(words), "{requester}: {said:?}");
    }
    assert_eq!(world.count("select count(*) from exportbox.schedule").await, 0);
    // The application itself is no operator.
    assert_eq!(refusal(&world.app().await, &register("'app'")).await.code, "42501");
    // A default: whoever registers, and its own rights.
    let both = world.login("both", &["exportbox_operator", "exportbox_requester"]).await;
    let said = refusal(&both, &register("null")).await;
    assert_eq!((said.code.as_str(), said.message.contains("may not request report")), ("EB013", true), "{said:?}");
}

#[tokio::test]
async fn a_requester_that_lost_a_right_requests_nothing_any_more() {
    let (world, _) = World::with_a_monthly_report().await;
    drop(world.login("tenant", &["exportbox_requester"]).await);
    let tenant = format!("tenant_{}", world.database);
    let dba = world.login("other_dba", &["exportbox_operator", &tenant]).await;
    let report = |requesters: &str| {
        format!(
            "select exportbox.register_report('monthly', 'select 1 as n', '{{\"month\": \"date\"}}', run_as => 'app', requesters => {requesters})"
        )
    };
    world.sql(&report(&format!("array['{tenant}']"))).await;
    dba.execute(&format!("select exportbox.register_schedule('orders', {})", MONTHLY.replace("'app'", &format!("'{tenant}'"))), &[])
        .await
        .unwrap();
    for (takes, gives, words) in [
        (report("array['app']"), report("null"), "may not request report"),
        (format!("revoke exportbox_requester from {tenant}"), format!("grant exportbox_requester to {tenant}"), "may not request exports"),
    ] {
        world.sql(&takes).await;
        world.plan("orders", "now() - interval '1 second'").await;
        world.drain().await;
        assert!(world.scheduled("orders").await["error"].as_str().unwrap().contains(words));
        assert_eq!(world.requested_for("orders").await.len(), 0);
        world.sql(&gives).await;
    }
    world.plan("orders", "now() - interval '1 second'").await;
    world.drain().await;
    assert_eq!(world.requested_for("orders").await[0]["requested_by"], json!(tenant));
}

#[tokio::test]
async fn neither_the_worker_nor_a_requester_can_ask_in_anothers_name() {
    let (world, dba) = World::with_a_monthly_report().await;
    world.schedule(&dba, "orders").await;
    world.drain().await;
    // The setting that stamps a schedule's requester opens nothing by itself.
    let app = world.app().await;
    app.batch_execute("set exportbox.requested_by = 'postgres'; insert into exportbox.outbox (query) values ('select 1')").await.unwrap();
    assert_eq!(world.text("select requested_by from exportbox.outbox").await, "app");
    // A worker that is nothing else.
    let worker = world.login("worker", &["exportbox_worker"]).await;
    worker.batch_execute("set exportbox.requested_by = 'app'").await.unwrap();
    for statement in [
        "insert into exportbox.outbox (report) values ('monthly')",
        "update exportbox.schedule set next_due_at = now()",
        "update exportbox.schedule set cron = '* * * * *'",
        "insert into exportbox.schedule (name, cron, time_zone, requester, report) values ('x', '* * * * *', 'UTC', 'app', 'monthly')",
        "select recipients from exportbox.schedule",
        "select params from exportbox.schedule",
        "select exportbox.register_schedule('x', '* * * * *', 'monthly', requester => 'app')",
        "select exportbox.check_scheduled(null, now())",
        "select exportbox.switch_schedule('orders', 'enabled')",
    ] {
        assert_eq!(refusal(&worker, statement).await.code, "42501", "{statement}");
    }
    // Nor before it is due, nor for an instant that was come to.
    world.plan("orders", "now() - interval '1 minute'").await;
    world.sql("update exportbox.schedule set last_due_at = now() - interval '2 minutes'").await;
    for due in ["now() + interval '1 minute'", "now() - interval '3 minutes'"] {
        let request =
            format!("select exportbox.request_scheduled('orders', next_due_at, array[{due}], null, false, null) from exportbox.schedule");
        assert_eq!(refusal(&worker, &request).await.code, "EB084", "{due}");
    }
    assert_eq!(world.count("select count(*) from exportbox.outbox").await, 1);
}

#[tokio::test]
async fn a_wrong_schedule_is_refused_at_its_registration_as_its_request_would_be() {
    let (world, dba) = World::with_a_monthly_report().await;
    for (from, to, code) in [
        ("'orders'", "'Orders!'", "EB080"),
        ("0 6 1 * *", "0 6 1 *", "EB080"),
        ("0 6 1 * *", "often", "EB080"),
        ("Europe/Berlin", "Europe/Atlantis", "EB080"),
        ("Europe/Berlin", "CEST", "EB080"),
        ("'monthly'", "null", "EB080"),
        ("'monthly'", "'weekly'", "EB002"),
        ("start of previous month", "start of previus month", "EB081"),
        ("{\"month\": {\"due\": \"start of previous month\"}}", "{}", "EB007"),
        ("{\"month\": {\"due\": \"start of previous month\"}}", "{\"month\": \"soon\"}", "EB008"),
        ("{\"month\": {\"due\": \"start of previous month\"}}", "{\"year\": {\"due\": \"today\"}}", "EB006"),
        ("{\"month\": {\"due\": \"start of previous month\"}}", "[1]", "EB005"),
        ("=> 'app'", "=> 'app', recipients => array['ann']", "EB011"),
        ("=> 'app'", "=> 'app', format => 'xlsx'", "EB020"),
        ("=> 'app'", "=> 'app', filename => 'a/{month}'", "EB023"),
        ("=> 'app'", "=> 'app', priority => 99999", "EB031"),
        ("=> 'app'", "=> 'app', max_attempts => 0", "EB033"),
        ("=> 'app'", "=> 'app', link_ttl => '9 days'", "EB034"),
        ("=> 'app'", "=> 'app', catch_up => 'some'", "EB080"),
        ("=> 'app'", "=> 'app', catch_up_limit => 0", "EB080"),
        ("=> 'app'", "=> 'app', late_after => '0'", "EB080"),
    ] {
        let right = format!("select exportbox.register_schedule('orders', {MONTHLY})");
        let wrong = right.replacen(from, to, 1);
        assert_ne!(right, wrong, "{from}");
        let said = refusal(&dba, &wrong).await;
        assert_eq!(said.code, code, "{to}: {said:?}");
    }
    let said = refusal(&dba, "select exportbox.drop_schedule('orders')").await;
    assert_eq!(said.code, "EB083");
    assert_eq!(world.count("select count(*) from exportbox.schedule").await, 0);
}

#[tokio::test]
async fn readers_see_when_and_how_many_but_no_address_and_no_value() {
    let (world, dba) = World::with_a_monthly_report().await;
    let register =
        format!("select exportbox.register_schedule('orders', {MONTHLY}, recipients => array['ann@example.com'], message => 'Dear Ann')");
    dba.execute(&register, &[]).await.unwrap();
    let look = "select row_to_json(s)::text, s.request is null, s.recipients from exportbox.schedules as s";
    let (reader, app) = (world.login("reader", &["exportbox_reader"]).await, world.app().await);
    let other = world.login("other", &["exportbox_requester"]).await;
    let row = reader.query_one(look, &[]).await.unwrap();
    assert!(!row.get::<_, String>(0).to_lowercase().contains("ann") && row.get::<_, bool>(1) && row.get::<_, i32>(2) == 1);
    for client in [&dba, &app] {
        assert!(client.query_one(look, &[]).await.unwrap().get::<_, String>(0).contains("ann@example.com"));
    }
    assert_eq!(other.query(look, &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_erased_address_leaves_schedules_and_those_for_or_about_it_stop() {
    let (world, dba) = World::with_a_monthly_report().await;
    world.sql("select exportbox.register_report('of-one', 'select 1 as n', '{\"who\": \"text\"}', run_as => 'app')").await;
    let about = MONTHLY
        .replace("'monthly'", "'of-one'")
        .replace("{\"due\": \"start of previous month\"}", "\"ann@example.com\"")
        .replace("month", "who");
    for (name, definition, recipients) in [
        ("alone", MONTHLY, "Ann@example.com"),
        ("shared", MONTHLY, "bob@example.com','ann@example.com"),
        ("about", about.as_str(), "bob@example.com"),
    ] {
        dba.execute(&format!("select exportbox.register_schedule('{name}', {definition}, recipients => array['{recipients}'])"), &[])
            .await
            .unwrap();
    }
    let said: serde_json::Value = dba.query_one("select exportbox.erase('ann@example.com')", &[]).await.unwrap().get(0);
    assert_eq!(said["schedules"], 3, "{said}");
    assert_eq!(world.places_of("ann@example.com").await, Vec::<String>::new());
    let states = "select string_agg(name || ' ' || state || ' ' || recipients, ', ' order by name) from exportbox.schedules";
    assert_eq!(world.text(states).await, "about disabled 1, alone disabled 0, shared new 1");
}
