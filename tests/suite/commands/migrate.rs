//! `migrate`.

use crate::harness::process::{code, json, stderr, stdout};
use crate::harness::{World, connect, postgres};

const VERSIONS: &str = "select count(*) from exportbox.schema_history";

#[tokio::test]
async fn migrate_brings_a_fresh_database_up_to_date_and_then_has_nothing_to_do() {
    let world = World::new().await;
    let url = world.empty_database().await;
    let first = world.run_with(&["migrate"], &[("EXPORTBOX_DATABASE_URL", &url)]).await;
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    assert!(stdout(&first).starts_with("applied V1__exportbox; "), "{}", stdout(&first));
    let again = world.run_with(&["migrate"], &[("EXPORTBOX_DATABASE_URL", &url)]).await;
    assert_eq!((code(&again), stdout(&again).starts_with("nothing to do: the schema has version ")), (0, true));
    let made = connect(&url).await.query_one(VERSIONS, &[]).await.unwrap().get::<_, i64>(0);
    let known: i64 = world.count(VERSIONS).await;
    assert_eq!(made, known);
    let said = json(&world.run_with(&["migrate", "--json"], &[("EXPORTBOX_DATABASE_URL", &url)]).await);
    assert_eq!(said, serde_json::json!({"version": known, "applied": []}));
}

#[tokio::test]
async fn two_migrations_at_once_apply_each_version_once() {
    let world = World::new().await;
    let url = world.empty_database().await;
    let settings = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    let (one, other) = tokio::join!(world.run_with(&["migrate", "--json"], &settings), world.run_with(&["migrate", "--json"], &settings));
    let applied = |output| json(output)["applied"].as_array().unwrap().len();
    let versions = usize::try_from(world.count(VERSIONS).await).unwrap();
    let mut both = [applied(&one), applied(&other)];
    both.sort_unstable();
    assert_eq!(both, [0, versions], "{} {}", stderr(&one), stderr(&other));
}

#[tokio::test]
async fn a_dry_run_prints_sql_that_would_work_and_changes_nothing() {
    let world = World::new().await;
    let url = world.empty_database().await;
    let dry = world.run_with(&["migrate", "--dry-run"], &[("EXPORTBOX_DATABASE_URL", &url)]).await;
    assert_eq!(code(&dry), 0, "{}", stderr(&dry));
    let client = connect(&url).await;
    let made: bool = client.query_one("select to_regnamespace('exportbox') is not null", &[]).await.unwrap().get(0);
    assert!(!made, "a dry run made the schema");
    client.batch_execute(&format!("begin; {}; select exportbox.new_id(); rollback", stdout(&dry))).await.unwrap();
    let done = world.run(&["migrate", "--dry-run"]).await;
    assert!(stdout(&done).starts_with("-- nothing to do"), "{}", stdout(&done));
}

/// The owner of a database on RDS and Aurora may create roles, and is no superuser.
#[tokio::test]
async fn a_schema_made_by_an_owner_who_is_no_superuser_serves_from_request_to_mail() {
    let world = World::new().await;
    let url = world.empty_database().await;
    let (name, owner) = (format!("empty_{}", world.database), format!("owner_{}", world.database));
    world
        .sql(&format!(
            "create role {owner} login createrole password '{owner}'; alter database {name} owner to {owner};
             grant exportbox_reader, exportbox_worker, exportbox_operator, exportbox_requester, exportbox_adhoc to {owner} with admin option"
        ))
        .await;
    let migrated = world.run_with(&["migrate"], &[("EXPORTBOX_DATABASE_URL", &postgres().url(&owner, &owner, &name))]).await;
    assert_eq!(code(&migrated), 0, "{}", stderr(&migrated));
    let app = connect(&postgres().url("app", "app", &name)).await;
    app.batch_execute("insert into exportbox.outbox (query, recipients) values ('select 1', '{ann@example.com}')").await.unwrap();
    let daemon = postgres().url("exportbox_daemon", "exportbox_daemon", &name);
    let drained = json(&world.run_with(&["drain", "--json"], &[("EXPORTBOX_DATABASE_URL", &daemon)]).await);
    assert_eq!((&drained["exported"], &drained["mailed"]), (&1.into(), &1.into()), "{drained}");
    let owned = "select count(*) from pg_class where relnamespace = 'exportbox'::regnamespace and relowner <> to_regrole($1)";
    assert_eq!(connect(&url).await.query_one(owned, &[&owner]).await.unwrap().get::<_, i64>(0), 0);
}
