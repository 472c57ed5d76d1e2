//! Who may ask, and who sees what of it.

use uuid::Uuid;

use crate::harness::World;
use crate::harness::requests::refusal;

/// Every view, with the column that names the export.
const VIEWS: &[(&str, &str)] = &[
    ("exports", "id"),
    ("jobs", "export_id"),
    ("attempts", "export_id"),
    ("deliveries", "export_id"),
    ("objects", "export_id"),
    ("events", "export_id"),
];

#[tokio::test]
async fn a_role_without_the_grants_may_not_ask() {
    let world = World::new().await;
    let nobody = world.login("nobody", &[]).await;
    assert_eq!(refusal(&nobody, "insert into exportbox.outbox (query) values ('select 1')").await.code, "42501");
    assert_eq!(refusal(&nobody, "select exportbox.request_export(query => 'select 1')").await.code, "42501");
    let requester = world.login("requester", &["exportbox_requester"]).await;
    let said = refusal(&requester, "insert into exportbox.outbox (query) values ('select 1')").await;
    assert_eq!(said.code, "EB003");
    assert!(said.hint.contains("grant exportbox_adhoc to requester_"), "{said:?}");
    assert_eq!(world.requests_and_jobs().await, (0, 0));
}

#[tokio::test]
async fn a_requester_cannot_ask_in_another_name() {
    let world = World::new().await;
    let app = world.app().await;
    for column in ["requested_by", "requested_at"] {
        let insert = format!("insert into exportbox.outbox (query, {column}) values ('select 1', default)");
        assert_eq!(refusal(&app, &insert).await.code, "42501", "{column}");
    }
    // Not even one who may write the column: the trigger stamps it.
    world.sql("insert into exportbox.outbox (query, requested_by, requested_at) values ('select 1', 'app', '2001-01-01')").await;
    world.sql("insert into exportbox.outbox (query, requested_by) values ('select 1', 'app')").await;
    world.sql("insert into exportbox.outbox (query, requested_at) values ('select 1', '2001-01-01')").await;
    let stamped = "select bool_and(requested_by = current_user and requested_at > now() - interval '1 minute') from exportbox.outbox";
    assert!(world.row(stamped, &[]).await.get::<_, bool>(0));
}

#[tokio::test]
async fn a_requester_sees_its_own_requests_and_none_of_others() {
    let world = World::new().await;
    let (app, other) = (world.app().await, world.login("other", &["exportbox_requester", "exportbox_adhoc"]).await);
    let id = world.request("select 1", &["ann@example.com"]).await;
    world.drain().await;
    // Something in every view.
    world.note_event(id, "link_cut").await;
    for (view, column) in VIEWS {
        let look = format!("select count(*) from exportbox.{view} where {column} = $1");
        assert!(app.query_one(&look, &[&id]).await.unwrap().get::<_, i64>(0) > 0, "{view} hides the requester's own");
        assert_eq!(other.query_one(&format!("select count(*) from exportbox.{view}"), &[]).await.unwrap().get::<_, i64>(0), 0, "{view}");
    }
    let ids = "select count(*) from exportbox.outbox where id is not null";
    assert_eq!(app.query_one(ids, &[]).await.unwrap().get::<_, i64>(0), 1);
    assert_eq!(other.query_one("select count(id) from exportbox.outbox", &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(app.query_one("select recipient from exportbox.deliveries", &[]).await.unwrap().get::<_, String>(0), "ann@example.com");
}

#[tokio::test]
async fn a_function_of_the_callers_own_in_a_where_clause_sees_no_row_of_others() {
    let world = World::new().await;
    let other = world.login("other", &["exportbox_requester"]).await;
    let id = world.request("select 1", &["ann@example.com"]).await;
    world.drain().await;
    world.note_event(id, "link_cut").await;
    // Cheaper than any check, so the planner would ask it first; it fails as soon as it is shown anything.
    other
        .batch_execute(
            "create function pg_temp.peek(seen anyelement) returns boolean language plpgsql cost 0.0000001
             as $$ begin raise exception 'saw %', seen; end $$",
        )
        .await
        .unwrap();
    world.sql("select exportbox.register_report('private', 'select 1', run_as => 'app', requesters => '{app}')").await;
    let columns = "select attrelid::regclass::text, attname::text from pg_attribute join pg_class on pg_class.oid = attrelid
        where relnamespace = 'exportbox'::regnamespace and relkind = 'v' and attnum > 0
            and (relname = any ($1) or relname = 'reports')";
    let views: Vec<&str> = VIEWS.iter().map(|(view, _)| *view).collect();
    let columns = world.admin.query(columns, &[&views]).await.unwrap();
    // Tables are read in the order of the view's own text: what decides comes last.
    other.batch_execute("set join_collapse_limit = 1; set from_collapse_limit = 1").await.unwrap();
    for column in &columns {
        let (view, column): (&str, &str) = (column.get(0), column.get(1));
        let rows = other.query(&format!("select 1 from {view} as v where pg_temp.peek(v.{column})"), &[]).await;
        assert!(rows.as_ref().is_ok_and(Vec::is_empty), "{view}.{column}: {rows:?}");
    }
    assert!(columns.len() > 60, "{} columns", columns.len());
    // What is shown without one is the planner's choice, and may be nothing today.
    let without = "select string_agg(relname, ' ') from pg_class where relnamespace = 'exportbox'::regnamespace and relkind = 'v'
        and 'security_barrier=true' <> all (coalesce(reloptions, '{}'))";
    assert_eq!(world.text(without).await, "health", "views that filter rows without a security barrier");
}

/// What decides who sees a row must not be read by the search path of whoever looks.
#[tokio::test]
async fn an_equality_of_the_callers_own_shows_no_row_of_others() {
    let world = World::new().await;
    let other = world.login("other", &["exportbox_requester"]).await;
    world.request("select 1", &["ann@example.com"]).await;
    world.drain().await;
    world.sql("create schema mine; grant all on schema mine to public").await;
    let equal = |left: &str, right: &str| {
        format!(
            "create function mine.yes({left}, {right}) returns boolean language sql as 'select true';
             create operator mine.= (leftarg = {left}, rightarg = {right}, function = mine.yes);"
        )
    };
    let operators: String = [("text", "name"), ("name", "name"), ("text", "text")].iter().map(|(left, right)| equal(left, right)).collect();
    other.batch_execute(&format!("{operators} set search_path = mine, pg_catalog")).await.unwrap();
    for (view, _) in VIEWS {
        let rows: i64 = other.query_one(&format!("select count(*) from exportbox.{view}"), &[]).await.unwrap().get(0);
        assert_eq!(rows, 0, "{view}");
    }
}

#[tokio::test]
async fn what_is_private_stays_private() {
    let world = World::new().await;
    let app = world.app().await;
    world.request("select 'secret'", &[]).await;
    for column in ["query", "recipients", "params", "message", "metadata", "*"] {
        assert_eq!(refusal(&app, &format!("select {column} from exportbox.outbox")).await.code, "42501", "{column}");
    }
    for table in ["job", "attempt", "object", "message", "message_export", "event", "report", "control", "worker", "schema_history"] {
        assert_eq!(refusal(&app, &format!("select 1 from exportbox.{table}")).await.code, "42501", "{table}");
        assert_eq!(refusal(&app, &format!("delete from exportbox.{table}")).await.code, "42501", "{table}");
    }
    let inner =
        ["wake(now())", "check_format('csv', 'none', '{}')", "assert_may_operate(exportbox.new_id())", "register_report('a', 'select 1')"];
    for call in inner {
        assert_eq!(refusal(&app, &format!("select exportbox.{call}")).await.code, "42501", "{call}");
    }
    assert_eq!(refusal(&app, "create table exportbox.mine (id int)").await.code, "42501");
    let open =
        "select count(*) from pg_proc where pronamespace = 'exportbox'::regnamespace and has_function_privilege('public', oid, 'execute')";
    assert_eq!(world.count(open).await, 0, "functions that everybody may call");
}

#[tokio::test]
async fn readers_see_every_export_with_masked_addresses_and_operators_in_clear() {
    let world = World::new().await;
    let (reader, operator) = (world.login("reader", &["exportbox_reader"]).await, world.login("operator", &["exportbox_operator"]).await);
    world.request("select 1", &["ann@example.com"]).await;
    world.request("select nonsense", &[]).await;
    world.drain().await;
    for (client, address, raw) in [(&reader, "a***@example.com", false), (&operator, "ann@example.com", true)] {
        assert_eq!(client.query_one("select count(*) from exportbox.exports", &[]).await.unwrap().get::<_, i64>(0), 2);
        assert_eq!(client.query_one("select recipient from exportbox.deliveries", &[]).await.unwrap().get::<_, String>(0), address);
        let details = client.query_one("select count(error_detail) > 0 from exportbox.attempts", &[]).await.unwrap();
        assert_eq!(details.get::<_, bool>(0), raw);
        client.query_one("select due from exportbox.health", &[]).await.unwrap();
        assert_eq!(refusal(client, "select query from exportbox.outbox").await.code, "42501");
        assert_eq!(refusal(client, "insert into exportbox.outbox (query) values ('select 1')").await.code, "42501");
    }
}

#[tokio::test]
async fn requesters_stop_and_requeue_their_own_exports_and_operators_all() {
    let world = World::new().await;
    let other = world.login("other", &["exportbox_requester", "exportbox_adhoc"]).await;
    let (app, operator) = (world.app().await, world.login("operator", &["exportbox_operator"]).await);
    let id = world.request("select 1", &[]).await;
    let unknown = Uuid::new_v4();
    for verb in ["cancel", "requeue"] {
        for (client, id) in [(&other, id), (&app, unknown), (&operator, unknown)] {
            let said = refusal(client, &format!("select exportbox.{verb}('{id}')")).await;
            assert_eq!(said.code, "EB061");
            assert!(said.message.contains("not yours") && said.hint.contains("exportbox.exports"), "{said:?}");
        }
    }
    let cancelled: String = app.query_one("select exportbox.cancel($1)", &[&id]).await.unwrap().get(0);
    assert_eq!((cancelled.as_str(), world.state(id).await.as_str()), ("cancelled", "cancelled"));
    let requeued: i32 = operator.query_one("select exportbox.requeue($1)", &[&id]).await.unwrap().get(0);
    assert_eq!((requeued, world.state(id).await.as_str()), (1, "pending"));
    let actors = "select string_agg(kind || ' by ' || split_part(actor, '_', 1), ', ' order by id) from exportbox.events";
    assert_eq!(world.text(actors).await, "cancelled by app, requeued by operator");
}
