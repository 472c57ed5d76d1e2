//! What is due is requested, once each, whatever becomes of the others.

use std::time::Duration;

use serde_json::json;

use crate::harness::World;
use crate::harness::schedules::MONTHLY;

#[tokio::test]
async fn a_due_schedule_is_exported_and_mailed_by_the_same_drain_for_its_instant() {
    let (world, dba) = World::with_a_monthly_report().await;
    let more =
        "recipients => array['ann@example.com'], filename => 'orders-{month}.csv', subject => 'Orders, {due}', metadata => '{\"team\": 7}'";
    dba.execute(&format!("select exportbox.register_schedule('orders', {MONTHLY}, {more})"), &[]).await.unwrap();
    world.plan("orders", "date_trunc('minute', now())").await;
    let (tally, left) = world.drain().await;
    assert_eq!((tally.scheduled, tally.exported, tally.mailed), (1, 1, 1));

    let made = &world.requested_for("orders").await[0];
    let months = "select to_char(date_trunc('month', last_due_at at time zone 'Europe/Berlin') - interval '1 month', 'YYYY-MM-DD') from exportbox.schedule";
    let month = world.text(months).await;
    let due = world.text("select to_char(last_due_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') from exportbox.schedule").await;
    let day = world.text("select (last_due_at at time zone 'Europe/Berlin')::date::text from exportbox.schedule").await;
    assert_eq!(made["params"], json!({ "month": month }));
    assert_eq!(made["metadata"], json!({"team": 7, "schedule": "orders", "due_at": due}));
    assert_eq!((&made["requested_by"], &made["idempotency_key"]), (&json!("app"), &json!(format!("schedule:orders:{due}"))));
    assert_eq!((&made["filename"], &made["subject"]), (&json!(format!("orders-{month}.csv")), &json!(format!("Orders, {day}"))));
    assert_eq!(world.mails_to("ann@example.com")[0].subject, format!("Orders, {day}"));
    let id = made["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(String::from_utf8(world.stored(id).await).unwrap(), format!("month\n{month}\n"));

    let shown = world.scheduled("orders").await;
    assert_eq!((&shown["state"], &shown["last_export_id"], &shown["refusals"]), (&json!("active"), &made["id"], &json!(0)));
    assert!(left.next_due_at.is_some(), "a drain says when the next one is due");
    assert_eq!(world.drain().await.0.scheduled, 0, "and not again");
}

#[tokio::test]
async fn the_next_instant_of_a_new_schedule_is_reckoned_and_nothing_is_requested_before() {
    let (world, dba) = World::with_a_monthly_report().await;
    world.schedule(&dba, "orders").await;
    assert_eq!(world.scheduled("orders").await["state"], "new");
    assert_eq!(world.drain().await.0.scheduled, 0);
    let first = "select (extract(day from next_due_at at time zone 'Europe/Berlin') = 1 and (next_due_at at time zone 'Europe/Berlin')::time = '06:00'
        and next_due_at between now() and now() + interval '32 days')::text from exportbox.schedule";
    assert_eq!(world.text(first).await, "true");
    assert_eq!(world.requested_for("orders").await.len(), 0);
}

#[tokio::test]
async fn each_instant_is_requested_once_however_many_processes_look() {
    let (world, dba) = World::with_a_monthly_report().await;
    for n in 0..6 {
        let name = format!("orders-{n}");
        world.schedule(&dba, &name).await;
        world.plan(&name, "now() - interval '1 minute'").await;
    }
    let drains: Vec<_> = futures_util::future::join_all((0..8).map(|_| world.drain())).await;
    let made: usize = drains.iter().map(|(tally, _)| tally.scheduled).sum();
    assert_eq!((made, world.count("select count(*) from exportbox.outbox").await), (6, 6));
    // Not even whoever was overtaken between looking and requesting: it is told that another was faster.
    world.plan("orders-0", "now() - interval '30 seconds'").await;
    let daemon = world.daemons_own().await;
    let request = "select exportbox.request_scheduled('orders-0', next_due_at, array[next_due_at], now() + interval '1 hour', false, null)
        from exportbox.schedule where name = 'orders-0'";
    let planned = "select next_due_at from exportbox.schedule where name = 'orders-0'";
    let seen: chrono::DateTime<chrono::Utc> = daemon.query_one(planned, &[]).await.unwrap().get(0);
    assert_eq!(daemon.query_one(request, &[]).await.unwrap().get::<_, Option<i32>>(0), Some(1));
    let late =
        "select exportbox.request_scheduled('orders-0', $1::timestamptz, array[$1::timestamptz], now() + interval '1 hour', false, null)";
    assert_eq!(daemon.query_one(late, &[&seen]).await.unwrap().get::<_, Option<i32>>(0), None);
    assert_eq!(world.requested_for("orders-0").await.len(), 2);
    // And one whose row another holds is passed over, not waited for.
    world.plan("orders-1", "now() - interval '30 seconds'").await;
    let other = world.another_admin().await;
    other.batch_execute("begin; select from exportbox.schedule where name = 'orders-1' for update").await.unwrap();
    world.plan("orders-2", "now() - interval '30 seconds'").await;
    assert_eq!(world.drain().await.0.scheduled, 1);
}

#[tokio::test]
async fn a_refused_request_stops_no_other_schedule_and_is_said_once() {
    let (world, dba) = World::with_a_monthly_report().await;
    world.schedule(&dba, "orders").await;
    world.sql("select exportbox.register_report('weekly', 'select 1 as n', '{}', run_as => 'app')").await;
    dba.execute("select exportbox.register_schedule('sums', '0 6 * * 1', 'weekly', requester => 'app')", &[]).await.unwrap();
    dba.execute("select exportbox.disable_report('monthly')", &[]).await.unwrap();
    for ago in ["20 seconds", "10 seconds"] {
        for name in ["orders", "sums"] {
            world.plan(name, &format!("now() - interval '{ago}'")).await;
        }
        world.drain().await;
    }
    assert_eq!((world.requested_for("orders").await.len(), world.requested_for("sums").await.len()), (0, 2));
    let shown = world.scheduled("orders").await;
    assert_eq!(
        (&shown["state"], &shown["refusals"], &shown["error"]),
        (&json!("refused"), &json!(2), &json!("report \"monthly\" is disabled"))
    );
    assert_eq!(
        world.text("select (next_due_at > now())::text from exportbox.schedule where name = 'orders'").await,
        "true",
        "it has moved on"
    );
    let said = "select string_agg(detail, '; ') from exportbox.events where kind = 'schedule_refused'";
    assert_eq!(world.text(said).await, "orders: report \"monthly\" is disabled");

    world.sql("select exportbox.register_report('monthly', 'select 2 as n', '{\"month\": \"date\"}', run_as => 'app')").await;
    world.plan("orders", "now() - interval '1 second'").await;
    assert_eq!(world.drain().await.0.scheduled, 1);
    let shown = world.scheduled("orders").await;
    assert_eq!((&shown["state"], &shown["refusals"], &shown["error"]), (&json!("active"), &json!(0), &json!(null)));
}

#[tokio::test]
async fn an_expression_that_no_command_has_checked_is_refused_once_and_never_looked_at_again() {
    let (world, dba) = World::with_a_monthly_report().await;
    world.schedule(&dba, "orders").await;
    for (name, cron) in [("never", "0 6 30 2 *"), ("nonsense", "99 6 * * *")] {
        let register = format!("select exportbox.register_schedule('{name}', {})", MONTHLY.replace("0 6 1 * *", cron));
        dba.execute(&register, &[]).await.unwrap();
    }
    world.drain().await;
    world.drain().await;
    for (name, word) in [("never", "never due"), ("nonsense", "cannot be read")] {
        let shown = world.scheduled(name).await;
        assert_eq!((&shown["state"], &shown["next_due_at"]), (&json!("refused"), &json!(null)));
        assert!(shown["error"].as_str().unwrap().contains(word), "{shown}");
    }
    assert_eq!(world.scheduled("orders").await["state"], "active");
    assert_eq!(world.count("select count(*) from exportbox.events where kind = 'schedule_refused'").await, 2);
}

#[tokio::test]
async fn missed_instants_are_made_up_for_as_the_schedule_says_and_what_is_passed_over_is_recorded() {
    let (world, dba) = World::with_a_monthly_report().await;
    for (name, catch_up) in [("none", "none"), ("late", "none"), ("latest", "latest"), ("all", "all")] {
        let more = format!(
            "catch_up => '{catch_up}', catch_up_limit => 3, late_after => '{}'",
            if name == "late" { "1 millisecond" } else { "61 minutes" }
        );
        let register = format!("select exportbox.register_schedule('{name}', {}, {more})", MONTHLY.replace("0 6 1 * *", "0 * * * *"));
        dba.execute(&register, &[]).await.unwrap();
        world.plan(name, "date_trunc('hour', now() - interval '1 day')").await;
    }
    world.drain().await;
    let mut made = Vec::new();
    for name in ["none", "late", "latest", "all"] {
        let keys: std::collections::BTreeSet<String> =
            world.requested_for(name).await.iter().map(|row| row["idempotency_key"].to_string()).collect();
        made.push(keys.len());
    }
    assert_eq!(made, [1, 0, 1, 3]);
    let skipped = "select string_agg(split_part(detail, ':', 1), ' ' order by id) from exportbox.events where kind = 'schedule_skipped'";
    let skipped = world.text(skipped).await;
    assert_eq!(skipped.split(' ').count(), 4, "{skipped}");
    assert_eq!(world.count("select count(*) from exportbox.schedule where next_due_at > now()").await, 4);
}

#[tokio::test]
async fn a_process_that_sleeps_wakes_when_a_schedule_is_due_and_when_one_is_registered() {
    let (mut world, dba) = World::with_a_monthly_report().await;
    // Nothing here is found by polling.
    world.settings.work.poll = Duration::from_secs(24 * 3600);
    world.schedule(&dba, "orders").await;
    world.plan("orders", "now() + interval '2 seconds'").await;
    let running = world.start().await;
    world.until_asleep(&running.worker).await;
    world.until("exists (select from exportbox.exports where state = 'completed')").await;
    assert_eq!(world.requested_for("orders").await.len(), 1);
    world.until_asleep(&running.worker).await;
    world.schedule(&dba, "others").await;
    world.until("select next_due_at > now() and next_due_at < 'infinity' from exportbox.schedule where name = 'others'").await;
    running.stop().await;
}

#[tokio::test]
async fn a_disabled_schedule_requests_nothing_and_an_enabled_one_goes_on_from_its_next_instant() {
    let (world, dba) = World::with_a_monthly_report().await;
    world.schedule(&dba, "orders").await;
    world.plan("orders", "now() - interval '1 hour'").await;
    assert!(dba.query_one("select exportbox.disable_schedule('orders')", &[]).await.unwrap().get::<_, bool>(0));
    assert!(!dba.query_one("select exportbox.disable_schedule('orders')", &[]).await.unwrap().get::<_, bool>(0));
    assert_eq!(world.drain().await.0.scheduled, 0);
    dba.execute("select exportbox.enable_schedule('orders')", &[]).await.unwrap();
    assert_eq!(world.drain().await.0.scheduled, 0, "what was due meanwhile was not wanted");
    let shown = world.scheduled("orders").await;
    assert_eq!((&shown["state"], shown["next_due_at"].is_null()), (&json!("active"), false));
    dba.execute("select exportbox.drop_schedule('orders')", &[]).await.unwrap();
    assert_eq!(world.count("select count(*) from exportbox.schedules").await, 0);
    let said =
        "select string_agg(what || ' by ' || split_part(actor, '_', 1), ', ' order by at) from exportbox.audit where what like 'schedule%'";
    assert_eq!(
        world.text(said).await,
        "schedule_registered by dba, schedule_disabled by dba, schedule_enabled by dba, schedule_dropped by dba"
    );
}

#[tokio::test]
async fn the_same_definition_again_changes_nothing_and_another_keeps_what_is_due() {
    let (world, dba) = World::with_a_monthly_report().await;
    let register = |more: &str| format!("select exportbox.register_schedule('orders', {MONTHLY}{more})");
    assert!(dba.query_one(&register(""), &[]).await.unwrap().get::<_, bool>(0));
    assert!(!dba.query_one(&register(""), &[]).await.unwrap().get::<_, bool>(0));
    world.plan("orders", "now() - interval '1 minute'").await;
    assert!(dba.query_one(&register(", priority => 1"), &[]).await.unwrap().get::<_, bool>(0));
    assert_eq!(world.drain().await.0.scheduled, 1, "a new priority does not lose what was due");
    assert_eq!(world.requested_for("orders").await[0]["priority"], 1);
}
