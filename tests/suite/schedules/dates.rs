//! Dates that are reckoned from a due instant, on the clock of the schedule's time zone.

use serde_json::json;

use crate::harness::World;
use crate::harness::requests::refusal;
use crate::harness::rows::JOBS;

async fn reckoned(world: &World, expression: &serde_json::Value, due: &str, zone: &str) -> String {
    let call = "select exportbox.due_value($1, ($2::text)::timestamptz, $3)";
    world.row(call, &[expression, &due, &zone]).await.get(0)
}

#[tokio::test]
async fn a_date_is_reckoned_from_the_due_instant_on_the_schedules_clock() {
    let world = World::new().await;
    let (berlin, kathmandu, new_york) = ("Europe/Berlin", "Asia/Kathmandu", "America/New_York");
    for (said, due, zone, expected) in [
        // In Berlin it is the first of March, 06:00.
        ("start of previous month", "2026-03-01T05:00:00Z", berlin, "2026-02-01"),
        ("end of previous month", "2026-03-01T05:00:00Z", berlin, "2026-02-28"),
        ("end of previous month", "2028-03-01T05:00:00Z", berlin, "2028-02-29"),
        ("start of this month", "2026-03-01T05:00:00Z", berlin, "2026-03-01"),
        ("end of next month", "2026-01-31T05:00:00Z", berlin, "2026-02-28"),
        ("start of previous quarter", "2026-01-15T12:00:00Z", berlin, "2025-10-01"),
        ("end of previous quarter", "2026-01-15T12:00:00Z", berlin, "2025-12-31"),
        ("end of this year", "2026-01-15T12:00:00Z", berlin, "2026-12-31"),
        ("start of previous week", "2026-03-04T12:00:00Z", berlin, "2026-02-23"),
        ("end of previous week", "2026-03-04T12:00:00Z", berlin, "2026-03-01"),
        ("yesterday", "2026-03-29T22:30:00Z", berlin, "2026-03-29"),
        ("today", "2026-03-29T22:30:00Z", berlin, "2026-03-30"),
        ("tomorrow", "2026-12-31T12:00:00Z", berlin, "2027-01-01"),
        // The same instant on other clocks.
        ("today", "2026-01-01T03:00:00Z", new_york, "2025-12-31"),
        ("start of this year", "2026-01-01T03:00:00Z", new_york, "2025-01-01"),
        ("today", "2025-12-31T18:20:00Z", kathmandu, "2026-01-01"),
        ("today - 2 weeks", "2026-03-29T12:00:00Z", berlin, "2026-03-15"),
        ("end of previous month - 1 month", "2026-04-01T12:00:00Z", berlin, "2026-02-28"),
        ("start of this quarter - 4 quarters", "2026-04-01T12:00:00Z", berlin, "2025-04-01"),
        ("start of this month + 14 days", "2026-04-01T12:00:00Z", berlin, "2026-04-15"),
        ("due", "2026-03-29T01:00:00Z", berlin, "2026-03-29T01:00:00Z"),
        // A day back over the change of the clock is 23 hours, 24 hours are 24 hours.
        ("due - 1 day", "2026-03-29T12:00:00Z", berlin, "2026-03-28T13:00:00Z"),
        ("due - 24 hours", "2026-03-29T12:00:00Z", berlin, "2026-03-28T12:00:00Z"),
        ("due + 90 minutes", "2026-03-29T00:00:00Z", berlin, "2026-03-29T01:30:00Z"),
    ] {
        assert_eq!(reckoned(&world, &json!({ "due": said }), due, zone).await, expected, "{said} of {due} in {zone}");
    }
    let formatted = json!({"due": "start of previous month", "format": "YYYY-MM"});
    assert_eq!(reckoned(&world, &formatted, "2026-01-01T05:00:00Z", berlin).await, "2025-12");
    let formatted = json!({"due": "due", "format": "HH24:MI"});
    assert_eq!(reckoned(&world, &formatted, "2026-07-01T04:00:00Z", berlin).await, "06:00");
}

#[tokio::test]
async fn the_settings_of_a_session_do_not_change_a_date() {
    let world = World::new().await;
    world.sql("set timezone = 'Pacific/Kiritimati'; set datestyle = 'SQL, DMY'; set intervalstyle = 'iso_8601'").await;
    let month = json!({"due": "start of previous month"});
    assert_eq!(reckoned(&world, &month, "2026-03-01T05:00:00Z", "Europe/Berlin").await, "2026-02-01");
    assert_eq!(reckoned(&world, &json!({"due": "due - 1 day"}), "2026-03-29T12:00:00Z", "Europe/Berlin").await, "2026-03-28T13:00:00Z");
}

#[tokio::test]
async fn what_is_no_such_date_is_refused_with_what_can_be_written() {
    let world = World::new().await;
    for wrong in [
        r#"{"due": "start of last month"}"#,
        r#"{"due": "previous month"}"#,
        r#"{"due": "today - 1 hour"}"#,
        r#"{"due": "today - 1 fortnight"}"#,
        r#"{"due": "due; drop table"}"#,
        r#"{"due": ""}"#,
        r#"{"due": null}"#,
        r#"{"due": 1}"#,
        r#"{"due": "today", "formt": "YYYY"}"#,
        r#"{"due": "today", "format": 1}"#,
    ] {
        let said = refusal(&world.admin, &format!("select exportbox.due_value('{wrong}', now(), 'UTC')")).await;
        assert!(said.code == "EB081" && said.hint.contains("start of previous month"), "{wrong}: {said:?}");
    }
}

#[tokio::test]
async fn a_value_is_read_on_the_schedules_clock_too() {
    let (world, dba) = World::with_a_monthly_report().await;
    world.sql("select exportbox.register_report('daily', 'select 1 as n', '{\"since\": \"timestamptz\", \"day\": \"date\"}', run_as => 'app')").await;
    let register = "select exportbox.register_schedule('daily', '0 6 * * *', 'daily', 'Asia/Kathmandu', requester => 'app',
        params => '{\"since\": {\"due\": \"today\"}, \"day\": \"2026-05-01\"}')";
    dba.execute(register, &[]).await.unwrap();
    world.plan("daily", "now() - interval '1 minute'").await;
    world.drain().await;
    let midnight = format!(
        "select (params ->> 'since')::timestamptz = date_trunc('day', (select last_due_at from exportbox.schedule), 'Asia/Kathmandu') and params ->> 'day' = '2026-05-01' from {JOBS} where kind = 'export'"
    );
    assert!(world.row(&midnight, &[]).await.get::<_, bool>(0), "midnight in Kathmandu, whatever zone the worker is in");
}
