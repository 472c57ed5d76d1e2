//! Who did what: written for every act, and rewritten by nobody who acts.

use crate::harness::World;
use crate::harness::requests::refusal;

#[tokio::test]
async fn every_act_leaves_a_line_with_who_and_when() {
    let world = World::new().await;
    let operator = world.operator().await;
    let id = world.request("select 1 as one", &["ann@example.com"]).await;
    for act in [
        format!("cancel('{id}')"),
        format!("requeue('{id}')"),
        format!("place_legal_hold('case 7', export_id => '{id}')"),
        "lift_legal_hold(1)".into(),
        "erase('ann@example.com')".into(),
    ] {
        operator.batch_execute(&format!("select exportbox.{act}")).await.unwrap();
    }
    let lines = world
        .admin
        .query("select what, actor, at > now() - interval '1 minute' from exportbox.audit order by at, what", &[])
        .await
        .unwrap();
    let lines: Vec<(String, String)> = lines
        .iter()
        .map(|row| {
            assert!(row.get::<_, bool>(2));
            (row.get(0), row.get::<_, String>(1).split("_world").next().unwrap().to_string())
        })
        .collect();
    let expected = ["requested", "cancelled", "requeued", "legal_hold_placed", "legal_hold_lifted", "erased", "erased"];
    assert_eq!(lines.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!(lines[0].1, "app");
    assert!(lines[1..].iter().all(|(_, actor)| actor == "operator"), "{lines:?}");
}

#[tokio::test]
async fn who_registered_sealed_and_disabled_a_report_is_in_the_audit() {
    let world = World::new().await;
    let operator = world.login("operator", &["exportbox_operator", "app"]).await;
    for call in ["register_report('monthly', 'select 1 as n', run_as => 'app')", "seal_report('monthly')", "disable_report('monthly')"] {
        operator.batch_execute(&format!("select exportbox.{call}")).await.unwrap();
    }
    let lines = "select string_agg(what || ' ' || detail || ' by ' || split_part(actor, '_', 1), ', ' order by at) from exportbox.audit";
    assert_eq!(
        world.text(lines).await,
        "report_registered monthly version 1 by operator, report_sealed monthly version 1 by operator, report_disabled monthly version 1 by operator"
    );
}

#[tokio::test]
async fn who_became_another_role_and_who_requested_what_was_deleted_stay_known() {
    let world = World::new().await;
    let operator = world.operator().await;
    let id = world.request("select 1 as one", &[]).await;
    operator.batch_execute(&format!("set role exportbox_operator; select exportbox.cancel('{id}')")).await.unwrap();
    let line = "select actor || ' ' || login from exportbox.audit where what = 'cancelled'";
    assert_eq!(world.text(line).await, format!("exportbox_operator operator_{}", world.database));
    world.sql(&format!("delete from exportbox.outbox where id = '{id}'")).await;
    let line = format!("select split_part(detail, ' at ', 1) from exportbox.audit where what = 'pruned' and export_id = '{id}'");
    assert_eq!(world.text(&line).await, "requested by app");
}

#[tokio::test]
async fn nobody_who_acts_can_rewrite_the_history_even_where_somebody_granted_it() {
    let world = World::new().await;
    let id = world.request("select 1 as one", &[]).await;
    world.sql(&format!("select exportbox.cancel('{id}'); select exportbox.erase('ann@example.com')")).await;
    let rewrite = ["update exportbox.TABLE set actor = 'somebody'", "delete from exportbox.TABLE", "truncate exportbox.TABLE cascade"];
    for role in ["exportbox_requester", "exportbox_adhoc", "exportbox_worker", "exportbox_operator", "exportbox_reader"] {
        let client = world.login(&role.replace("exportbox_", "mere_"), &[role]).await;
        for (table, statement) in ["event", "erasure"].into_iter().flat_map(|table| rewrite.map(|statement| (table, statement))) {
            assert_eq!(refusal(&client, &statement.replace("TABLE", table)).await.code, "42501", "{role} {table}");
        }
        world.sql(&format!("begin; grant all on exportbox.event, exportbox.erasure, exportbox.erased_export to {role}; grant usage on schema exportbox to {role}; commit")).await;
        client.batch_execute("set exportbox.erasing = 'on'").await.unwrap();
        for (table, statement) in ["event", "erasure"].into_iter().flat_map(|table| rewrite.map(|statement| (table, statement))) {
            assert_eq!(refusal(&client, &statement.replace("TABLE", table)).await.code, "EB051", "{role} {table} with all grants");
        }
    }
    // Not even the owner changes a line; what is old it may prune.
    for statement in &rewrite[..1] {
        assert_eq!(refusal(&world.admin, &statement.replace("TABLE", "event")).await.code, "EB051");
    }
    assert_eq!(world.admin.execute("delete from exportbox.event where kind = 'cancelled'", &[]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_worker_writes_history_in_its_own_name_only() {
    let world = World::new().await;
    let daemon = world.daemons_own().await;
    for columns in ["(kind, actor) values ('requeued', 'postgres')", "(kind, at) values ('requeued', '2001-01-01')"] {
        assert_eq!(refusal(&daemon, &format!("insert into exportbox.event {columns}")).await.code, "42501");
    }
    daemon.batch_execute("insert into exportbox.event (kind) values ('link_cut')").await.unwrap();
    assert_eq!(world.text("select actor from exportbox.events").await, "exportbox_daemon");
}

#[tokio::test]
async fn the_audit_is_for_readers_and_operators_and_holds_nobodys_data() {
    let world = World::new().await;
    let more = "params => '{\"secret\": \"canary-7431\"}', metadata => '{\"secret\": \"canary-7431\"}', subject => 'canary-7431'";
    let id = world.request_with("select 'canary-7431' as one", &["ann@example.com"], more).await;
    world.sql(&format!("select exportbox.place_legal_hold('case 7', export_id => '{id}')")).await;
    world.drain().await;
    for role in ["exportbox_reader", "exportbox_operator"] {
        let client = world.login(role, &[role]).await;
        let said: String =
            client.query_one("select string_agg(to_jsonb(a)::text, '') from exportbox.audit as a", &[]).await.unwrap().get(0);
        assert!(
            said.contains("requested") && said.contains("legal_hold_placed") && !said.contains("canary") && !said.contains("ann@"),
            "{said}"
        );
    }
    let app = world.app().await;
    assert_eq!(refusal(&app, "select 1 from exportbox.audit").await.code, "42501");
    // Nor where somebody granted it: the view asks who reads.
    world.sql("grant select on exportbox.audit to exportbox_requester").await;
    assert_eq!(app.query_one("select count(*) from exportbox.audit", &[]).await.unwrap().get::<_, i64>(0), 0);
}
