//! Reports: registering them, and what a request to one must bring.

use tokio_postgres::Client;
use uuid::Uuid;

use crate::harness::World;
use crate::harness::requests::refusal;

const MONTHLY: &str = r#"select exportbox.register_report('monthly', $q$
        select exportbox.param('month')::date as month, exportbox.param('shop') as shop, exportbox.param('ids')::int[] as ids
    $q$, '{"month": {"type": "date", "required": true}, "shop": "text", "ids": "int[]"}', run_as => 'app')"#;

async fn registered(operator: &Client, call: &str) -> i32 {
    operator.query_one(call, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_report_is_versioned_and_the_same_definition_again_changes_nothing() {
    let world = World::new().await;
    let operator = world.login("operator", &["exportbox_operator", "app"]).await;
    let plain = "select exportbox.register_report('daily', 'select 1', run_as => 'app')";
    assert_eq!(registered(&operator, plain).await, 1);
    assert_eq!(registered(&operator, plain).await, 1);
    let described = "select exportbox.register_report('daily', 'select 1', run_as => 'app', description => 'Every day')";
    assert_eq!(registered(&operator, described).await, 2);
    // Long and short form of the same declaration are one definition.
    let short = r#"select exportbox.register_report('daily', 'select 2', '{"day": "date", "n": "int4"}', 'app')"#;
    let long = r#"select exportbox.register_report('daily', 'select 2', '{"n": {"type": "integer", "required": false}, "day": {"type": "date"}}', 'app')"#;
    assert_eq!(registered(&operator, short).await, 3);
    assert_eq!(registered(&operator, long).await, 3);
    assert_eq!(registered(&operator, plain).await, 4, "an older definition is a new version, too");
    assert_eq!(world.count("select count(*) from exportbox.report").await, 4);
    let by = "select bool_and(created_by like 'operator%' and run_as = 'app') from exportbox.report";
    assert!(world.row(by, &[]).await.get::<_, bool>(0));
}

/// Arguments of register_report, a word of the message.
const WRONG_REPORTS: &[(&str, &str)] = &[
    ("'', 'select 1'", "name"),
    ("'Monthly', 'select 1'", "name"),
    ("'1st', 'select 1'", "name"),
    ("'two words', 'select 1'", "name"),
    ("repeat('a', 64), 'select 1'", "name"),
    ("null, 'select 1'", "name"),
    ("'r', null", "query"),
    ("'r', '  '", "query"),
    ("'r', 'select 1', '[]'", "object"),
    ("'r', 'select 1', null", "object"),
    ("'r', 'select 1', 'null'", "object"),
    ("'r', 'select 1', run_as => 'no_such_role'", "no_such_role"),
    ("'r', 'select 1', run_as => 'exportbox_worker'", "exportbox_worker"),
    ("'r', 'select 1', run_as => 'pg_read_all_data'", "pg_read_all_data"),
    ("'r', 'select 1', run_as => 'postgres'", "postgres"),
    ("'r', 'select 1', '{\"Month\": \"date\"}'", "Month"),
    ("'r', 'select 1', '{\"a-b\": \"date\"}'", "a-b"),
    ("'r', 'select 1', '{\"month\": \"dat\"}'", "month"),
    ("'r', 'select 1', '{\"month\": \"\"}'", "month"),
    ("'r', 'select 1', '{\"month\": \"date; drop table job\"}'", "month"),
    ("'r', 'select 1', '{\"month\": 7}'", "month"),
    ("'r', 'select 1', '{\"month\": null}'", "month"),
    ("'r', 'select 1', '{\"month\": {}}'", "month"),
    ("'r', 'select 1', '{\"month\": {\"required\": true}}'", "month"),
    ("'r', 'select 1', '{\"month\": {\"type\": \"date\", \"defaults\": \"today\"}}'", "unknown property"),
    ("'r', 'select 1', '{\"month\": {\"type\": \"date\", \"default\": \"soon\"}}'", "soon"),
    ("'r', 'select 1', '{\"month\": {\"type\": \"date\", \"default\": \"today\", \"required\": true}}'", "contradicts"),
    ("'r', 'select 1', '{\"n\": {\"type\": \"int\", \"values\": [1], \"min\": 1}}'", "contradicts"),
    ("'r', 'select 1', '{\"n\": {\"type\": \"int\", \"values\": []}}'", "values"),
    ("'r', 'select 1', '{\"n\": {\"type\": \"int\", \"values\": [1, null]}}'", "values"),
    ("'r', 'select 1', '{\"n\": {\"type\": \"int\", \"values\": [1, \"x\"]}}'", "x"),
    ("'r', 'select 1', '{\"n\": {\"type\": \"int\", \"min\": 5, \"max\": 4}}'", "does not allow its own"),
    ("'r', 'select 1', '{\"n\": {\"type\": \"int\", \"default\": 7, \"max\": 4}}'", "does not allow its own 7"),
    ("'r', 'select 1', '{\"n\": {\"type\": \"point\", \"min\": \"(0,0)\"}}'", "cannot be compared"),
    ("'r', 'select 1', '{\"n\": {\"type\": \"int\", \"description\": 1}}'", "description"),
    // What would be cut without a word.
    ("'r', 'select 1', '{\"n\": \"varchar(3)\"}'", "usable type"),
    ("'r', 'select 1', '{\"n\": \"bit\"}'", "usable type"),
    ("'r', 'select 1', '{\"n\": \"character\"}'", "usable type"),
    ("'r', 'select 1', '{\"n\": \"name[]\"}'", "usable type"),
    ("'r', 'select 1', run_as => 'app', requesters => '{app,nobody}'", "nobody"),
    ("'r', 'select 1', run_as => 'app', requesters => '{}'", "requesters"),
    ("'r', 'select 1', run_as => 'app', formats => array['csv', null]", "formats"),
    ("'r', 'select 1', run_as => 'app', max_rows => 0", "max_rows"),
    ("'r', 'select 1', run_as => 'app', max_bytes => -1", "max_bytes"),
    ("'r', 'select 1', run_as => 'app', timeout => '8 days'", "timeout"),
    ("'r', 'select 1', run_as => 'app', recipient_domains => '{ann@example.com}'", "ann@example.com"),
    ("'r', 'select 1', run_as => 'app', recipient_domains => '{*}'", "*"),
    ("'r', 'select 1', run_as => 'app', max_recipients => 51", "max_recipients"),
    ("'r', 'select 1', run_as => 'app', object_life => '1 second'", "object_life"),
    ("'r', 'select 1', run_as => 'app', kms_key => 'a key'", "kms_key"),
    ("'r', 'select 1', run_as => 'app', prefix => '/a'", "prefix"),
    ("'r', 'select 1', run_as => 'app', prefix => 'a/../b'", "prefix"),
    ("'r', 'select 1', run_as => 'app', source => 'The Replica'", "source"),
    ("'r', 'select 1', '{\"month\": {\"type\": \"date\", \"required\": \"yes\"}}'", "unknown property"),
    ("'r', 'select 1', '{\"month\": \"anyelement\"}'", "month"),
    ("'r', 'select 1', '{\"month\": \"exportbox.outbox\"}'", "month"),
];

#[tokio::test]
async fn a_wrong_report_is_refused_at_registration() {
    let world = World::new().await;
    let operator = world.login("operator", &["exportbox_operator", "app"]).await;
    for (arguments, message) in WRONG_REPORTS {
        let said = refusal(&operator, &format!("select exportbox.register_report({arguments})")).await;
        assert_eq!(said.code, "EB060", "{arguments}: {said:?}");
        assert!(said.message.contains(message), "{arguments}: {said:?}");
    }
    assert_eq!(world.count("select count(*) from exportbox.report").await, 0);
}

/// Params, SQLSTATE, a word of the message, a word of the hint.
const WRONG_PARAMS: &[(&str, &str, &str, &str)] = &[
    (r#"{}"#, "EB007", "month", "type date"),
    (r#"{"month": null}"#, "EB007", "month", "type date"),
    (r#"{"shop": "berlin"}"#, "EB007", "month", "type date"),
    (r#"{"month": "2026-01-01", "colour": "red"}"#, "EB006", "colour", "month"),
    (r#"{"Month": "2026-01-01"}"#, "EB006", "Month", "month"),
    (r#"{"month": "2026-13-01"}"#, "EB008", "month", "cast to date"),
    (r#"{"month": "soon"}"#, "EB008", "month", "cast to date"),
    (r#"{"month": ""}"#, "EB008", "month", "cast to date"),
    (r#"{"month": {"year": 2026}}"#, "EB008", "month", "cast to date"),
    (r#"{"month": "2026-01-01'; drop table orders; --"}"#, "EB008", "month", "cast to date"),
    (r#"{"month": "2026-01-01", "ids": "1,2"}"#, "EB008", "ids", "integer[]"),
    (r#"{"month": "2026-01-01", "ids": "{99999999999}"}"#, "EB008", "ids", "integer[]"),
];

#[tokio::test]
async fn a_request_to_a_report_brings_what_the_report_declares() {
    let world = World::new().await;
    let operator = world.login("operator", &["exportbox_operator", "app"]).await;
    registered(&operator, MONTHLY).await;
    // A report needs no grant for ad-hoc queries.
    let requester = world.login("requester", &["exportbox_requester"]).await;
    for (params, code, message, hint) in WRONG_PARAMS {
        let params = params.replace('\'', "''");
        let said = refusal(&requester, &format!("insert into exportbox.outbox (report, params) values ('monthly', '{params}')")).await;
        assert_eq!(said.code, *code, "{params}: {said:?}");
        assert!(said.message.contains(message) && said.hint.contains(hint), "{params}: {said:?}");
    }
    assert_eq!(world.requests_and_jobs().await, (0, 0));
    for params in
        [r#"{"month": "2026-01-01"}"#, r#"{"month": "2026-01-01", "shop": null}"#, r#"{"month": "2026-01-01", "shop": 7, "ids": "{1,2}"}"#]
    {
        requester.batch_execute(&format!("insert into exportbox.outbox (report, params) values ('monthly', '{params}')")).await.unwrap();
    }
    assert_eq!(world.requests_and_jobs().await, (3, 3));
}

/// Some types read their text with an error of another class than the usual one.
#[tokio::test]
async fn a_value_that_cannot_be_cast_is_refused_whatever_its_type() {
    let world = World::new().await;
    let operator = world.login("operator", &["exportbox_operator", "app"]).await;
    let types = [
        "jsonpath",
        "tsquery",
        "regclass",
        "regrole",
        "regtype",
        "int",
        "numeric",
        "uuid",
        "timestamptz",
        "interval",
        "bytea",
        "inet",
        "xml",
        "daterange",
        "bit varying",
        "jsonb",
        "bool[]",
        "point",
    ];
    for name in types {
        let register = "select exportbox.register_report('typed', 'select 1', jsonb_build_object('value', $1::text), 'app')";
        operator.query_one(register, &[&name]).await.unwrap();
        let insert = r#"insert into exportbox.outbox (report, params) values ('typed', '{"value": "<(= ! \\x"}')"#;
        let said = refusal(&world.app().await, insert).await;
        assert_eq!(said.code, "EB008", "{name}: {said:?}");
    }
}

#[tokio::test]
async fn a_report_without_parameters_says_so() {
    let world = World::new().await;
    let operator = world.login("operator", &["exportbox_operator", "app"]).await;
    registered(&operator, "select exportbox.register_report('plain', 'select 1', run_as => 'app')").await;
    let said = refusal(&world.app().await, r#"select exportbox.request_export('plain', params => '{"a": 1}')"#).await;
    assert_eq!((said.code.as_str(), said.hint.as_str()), ("EB006", "It takes no parameters."));
}

#[tokio::test]
async fn a_disabled_report_takes_no_requests_until_it_is_registered_again() {
    let world = World::new().await;
    let operator = world.login("operator", &["exportbox_operator", "app"]).await;
    let register = "select exportbox.register_report('daily', 'select 1', run_as => 'app')";
    registered(&operator, register).await;
    assert_eq!(registered(&operator, "select exportbox.disable_report('daily')").await, 1);
    assert_eq!(registered(&operator, "select exportbox.disable_report('daily')").await, 1, "once is enough");
    assert_eq!(refusal(&operator, "select exportbox.disable_report('weekly')").await.code, "EB002");
    let said = refusal(&world.app().await, "select exportbox.request_export('daily')").await;
    assert_eq!(said.code, "EB002");
    assert!(said.message.contains("disabled"), "{said:?}");
    assert_eq!(registered(&operator, register).await, 2);
    world.app().await.batch_execute("select exportbox.request_export('daily')").await.unwrap();
    let events = "select string_agg(kind || ': ' || detail || ' by ' || split_part(actor, '_', 1), ', ' order by id) from exportbox.events";
    let expected = "report_registered: daily version 1 by operator, report_disabled: daily version 1 by operator, \
        report_registered: daily version 2 by operator";
    assert_eq!(world.text(events).await, expected);
}

#[tokio::test]
async fn a_request_runs_the_version_of_its_report_that_was_current_when_it_was_made() {
    let world = World::new().await;
    let operator = world.login("operator", &["exportbox_operator", "app"]).await;
    let mut ids: Vec<Uuid> = Vec::new();
    for version in ["first", "second"] {
        registered(&operator, &format!("select exportbox.register_report('versioned', 'select ''{version}'' as v', run_as => 'app')"))
            .await;
        ids.push(world.app().await.query_one("select exportbox.request_export('versioned')", &[]).await.unwrap().get(0));
    }
    world.drain().await;
    assert_eq!(world.stored(ids[0]).await, b"v\nfirst\n");
    assert_eq!(world.stored(ids[1]).await, b"v\nsecond\n");
}

#[tokio::test]
async fn a_report_runs_with_the_rights_of_its_role_and_the_values_of_its_request() {
    let world = World::new().await;
    let operator = world.login("operator", &["exportbox_operator", "app"]).await;
    registered(&operator, MONTHLY).await;
    let whose = "select exportbox.register_report('whose', 'select current_user as who', run_as => 'app')";
    registered(&operator, whose).await;
    let requester = world.login("requester", &["exportbox_requester"]).await;
    let call = "select exportbox.request_export($1, params => $2)";
    let params = serde_json::json!({"month": "2026-02-03", "shop": "O'Hara; \"x\"", "ids": "{4,5}"});
    let monthly: Uuid = requester.query_one(call, &[&"monthly", &params]).await.unwrap().get(0);
    let whose: Uuid = requester.query_one(call, &[&"whose", &serde_json::json!({})]).await.unwrap().get(0);
    world.drain().await;
    assert_eq!(String::from_utf8(world.stored(monthly).await).unwrap(), "month,shop,ids\n2026-02-03,\"O'Hara; \"\"x\"\"\",\"{4,5}\"\n");
    assert_eq!(world.stored(whose).await, b"who\napp\n");
}
