//! How a request's values are read: once, in the requester's own INSERT, by the declared type.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::World;
use crate::harness::requests::refusal;
use crate::harness::rows::JOBS;

async fn register(world: &World, params: Value) {
    let call = "select exportbox.register_report('typed', 'select 1 as n', $1, 'app')";
    world.admin.query_one(call, &[&params]).await.unwrap();
}

/// What the job runs with.
async fn read(world: &World, params: Value) -> Value {
    let id = world.request_report("typed", params, "").await;
    world.export_job(id).await["params"].clone()
}

#[tokio::test]
async fn a_value_is_written_as_its_type_writes_it_and_the_request_keeps_what_was_given() {
    let world = World::new().await;
    register(
        &world,
        json!({"d": "date", "n": "numeric", "b": "bool", "ids": "int[]", "t": "text", "u": "uuid", "r": "daterange", "j": "jsonb"}),
    )
    .await;
    let given = json!({"d": "January 8, 2026", "n": "1.50", "b": "yes", "ids": [3, 1], "t": "  as it is ", "u": "A0EEBC999C0B4EF8BB6D6BB9BD380A11",
        "r": "[2026-01-01,2026-01-31]", "j": {"b": 1, "a": [null]}});
    let expected = json!({"d": "2026-01-08", "n": "1.50", "b": "true", "ids": "{3,1}", "t": "  as it is ",
        "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "r": "[2026-01-01,2026-02-01)", "j": "{\"a\": [null], \"b\": 1}"});
    let id = world.request_report("typed", given.clone(), "").await;
    let row = world
        .row(
            &format!("select job.params, outbox.params from {JOBS} join exportbox.outbox on outbox.id = export_id where export_id = $1"),
            &[&id],
        )
        .await;
    assert_eq!((row.get::<_, Value>(0), row.get::<_, Value>(1)), (expected, given));
}

/// The session of the export has settings of its own; the meaning is that of the requester's.
#[tokio::test]
async fn an_instant_means_what_it_meant_where_the_request_was_made() {
    let world = World::new().await;
    world
        .sql("select exportbox.register_report('when', 'select exportbox.param(''t'')::timestamptz as t, exportbox.param(''d'')::date as d', '{\"t\": \"timestamptz\", \"d\": \"date\"}', 'app')")
        .await;
    let berlin = world.app().await;
    berlin.batch_execute("set timezone = 'Europe/Berlin'; set datestyle = 'German, DMY'").await.unwrap();
    let call = "select exportbox.request_export('when', params => '{\"t\": \"01.06.2026 10:00\", \"d\": \"02/01/2026\"}')";
    let id: Uuid = berlin.query_one(call, &[]).await.unwrap().get(0);
    world.complete(&[id]).await;
    assert_eq!(String::from_utf8(world.stored(id).await).unwrap(), "t,d\n2026-06-01 08:00:00+00,2026-01-02\n");
}

#[tokio::test]
async fn a_default_stands_in_for_what_is_missing_and_is_read_when_the_request_is_made() {
    let world = World::new().await;
    register(&world, json!({"d": {"type": "date", "default": "today"}, "n": {"type": "int", "default": 7}, "t": "text"})).await;
    let today = world.text("select (now() at time zone 'UTC')::date::text").await;
    for given in [json!({}), json!({"d": null, "n": null, "t": null})] {
        assert_eq!(read(&world, given).await, json!({"d": today, "n": "7"}));
    }
    assert_eq!(read(&world, json!({"n": 8})).await["n"], "8");
    // A request runs with what was current when it was made.
    let id = world.request_report("typed", json!({}), "").await;
    world.set_jobs("params = jsonb_set(params, '{d}', '\"2001-01-01\"')", "true").await;
    register(&world, json!({"d": {"type": "date", "default": "tomorrow"}})).await;
    let kept: Value = world.export_job(id).await["params"].clone();
    assert_eq!(kept, json!({"d": "2001-01-01", "n": "7"}));
}

/// Declaration, values that are allowed, values that are not, words of the hint.
#[tokio::test]
async fn a_value_outside_the_declared_values_or_range_is_refused_with_what_is_allowed() {
    let world = World::new().await;
    let app = world.app().await;
    let cases = [
        (json!({"type": "text", "values": ["north", "O'Hara"]}), vec![json!("O'Hara")], vec![json!("North"), json!("")], "north, O'Hara"),
        (json!({"type": "numeric", "values": [1, 2.50]}), vec![json!("1.00"), json!(2.5)], vec![json!(2.51)], "1, 2.5"),
        (json!({"type": "int", "min": 1, "max": 10}), vec![json!(1), json!("10")], vec![json!(0), json!(11)], "at least 1 and at most 10"),
        (json!({"type": "date", "max": "today"}), vec![json!("1999-12-31")], vec![json!("2999-01-01")], "Give at most today"),
        (json!({"type": "interval", "min": "1 day"}), vec![json!("24 hours")], vec![json!("23 hours")], "Give at least 1 day"),
    ];
    for (declaration, allowed, refused, hint) in cases {
        register(&world, json!({"v": declaration})).await;
        for value in allowed {
            read(&world, json!({"v": value})).await;
        }
        for value in refused {
            let params = json!({"v": value}).to_string().replace('\'', "''");
            let said = refusal(&app, &format!("insert into exportbox.outbox (report, params) values ('typed', '{params}')")).await;
            assert_eq!(said.code, "EB009", "{value}: {said:?}");
            assert!(said.message.contains("\"v\"") && said.hint.contains(hint), "{said:?}");
        }
    }
}

#[tokio::test]
async fn who_may_ask_for_what_and_where_to_is_decided_in_the_requesters_own_insert() {
    let world = World::new().await;
    let other = world.login("other", &["exportbox_requester"]).await;
    world
        .sql(
            "select exportbox.register_report('private', 'select 1 as n', run_as => 'app', requesters => '{app}', formats => '{csv,jsonl}',
                 recipient_domains => '{Example.com,*.example.org}', max_recipients => 2);
             select exportbox.register_report('filed', 'select 1 as n', run_as => 'app', max_recipients => 0)",
        )
        .await;
    let app = world.app().await;
    for (client, request, code, words) in [
        (&other, "('private')", "EB013", ["may not request", "requesters"]),
        (&app, "('private', format => 'text')", "EB024", ["not made as text", "csv or jsonl"]),
        (&app, "('private', recipients => '{ann@example.org}')", "EB012", ["example.org", "*.example.org, example.com"]),
        (&app, "('private', recipients => '{ann@sub.example.com}')", "EB012", ["sub.example.com", "Allowed"]),
        (&app, "('private', recipients => '{ann@notexample.org}')", "EB012", ["notexample.org", "Allowed"]),
        (&app, "('private', recipients => '{ann@example.com,b@example.com,c@example.com}')", "EB010", ["3 recipients", "at most 2"]),
        (&app, "('filed', recipients => '{ann@example.com}')", "EB010", ["too many", "not mailed"]),
    ] {
        let said = refusal(client, &format!("select exportbox.request_export{request}")).await;
        assert_eq!(said.code, code, "{request}: {said:?}");
        assert!(said.message.contains(words[0]) && said.hint.contains(words[1]), "{request}: {said:?}");
    }
    assert_eq!(world.requests_and_jobs().await, (0, 0));
    let allowed = "select exportbox.request_export('private', format => 'jsonl', recipients => '{ann@EXAMPLE.com,bob@a.b.example.org}')";
    app.batch_execute(allowed).await.unwrap();
    // A member of a requester is one.
    let member = world.login("member", &["exportbox_requester", "app"]).await;
    member.batch_execute("select exportbox.request_export('private')").await.unwrap();
    // Each sees what it may ask for, and neither the query nor the role.
    let seen = "select coalesce(string_agg(name, ', ' order by name), '') from exportbox.reports where query is null and run_as is null";
    for (client, names) in [(&app, "filed, private"), (&other, "filed")] {
        assert_eq!(client.query_one(seen, &[]).await.unwrap().get::<_, String>(0), names);
    }
}

#[tokio::test]
async fn a_report_whose_query_cannot_run_as_its_role_is_refused_at_registration() {
    let world = World::new().await;
    world
        .sql("create table public.secret as select 1 as n; create table public.canary as select 1 as n; grant all on public.canary to app")
        .await;
    let operator = world.login("operator", &["exportbox_operator", "app"]).await;
    for (query, word) in [
        ("select * from secret", "permission denied for table secret"),
        ("select * from nowhere", "nowhere"),
        ("select 1; select 2", "multi-query"),
        ("select 1; drop table canary", "multi-query"),
        ("select 1) as x; drop table canary; select (1", "syntax error"),
        ("delete from canary returning n", "syntax error"),
        ("with gone as (delete from canary returning n) select n from gone", "WITH clause"),
        ("select $1::int", "parameter $1"),
        ("selekt 1", "syntax error"),
        ("select 'x'::int", "invalid input syntax"),
    ] {
        let said = refusal(&operator, &format!("select exportbox.register_report('wrong', $q${query}$q$, run_as => 'app')")).await;
        assert_eq!(said.code, "EB062", "{query}: {said:?}");
        assert!(said.message.contains(word), "{query}: {said:?}");
    }
    assert_eq!(world.count("select count(*) from exportbox.report").await, 0);
    assert_eq!(world.count("select count(*) from public.canary").await, 1);
    // Whoever is no member of the role cannot plan as it, and is told what to do.
    let stranger = world.login("stranger", &["exportbox_operator"]).await;
    let said = refusal(&stranger, "select exportbox.register_report('right', 'select 1', run_as => 'app')").await;
    assert_eq!(said.code, "EB063");
    assert!(said.hint.contains("grant app to stranger"), "{said:?}");
    // Planning leaves the session as it was.
    let state =
        "select current_user = session_user and current_setting('role') = 'none' and current_setting('transaction_read_only') = 'off'
        from exportbox.register_report('right', 'select n from canary where n = exportbox.param(''n'')::int;', '{\"n\": \"int\"}', 'app')";
    assert!(operator.query_one(state, &[]).await.unwrap().get::<_, bool>(0));
}
