//! The roles: made by the migration, by whom, and once for all databases of a cluster.

use exportbox::admin::migrate::migrate;
use exportbox::database::DatabaseUrl;
use exportbox::sandbox::{Postgres, PostgresOptions};

use crate::harness::connect;

const ROLES: &str = "select string_agg(rolname, ' ' order by rolname) from pg_roles where rolname like 'exportbox%'
    and not (rolsuper or rolcanlogin or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)";

#[tokio::test]
async fn a_master_user_who_is_no_superuser_makes_the_roles_and_a_second_database_finds_them() {
    let server = Postgres::start(&PostgresOptions::default()).await.unwrap();
    let admin = connect(&server.superuser_url()).await;
    admin.batch_execute("create role master login createrole createdb password 'master'").await.unwrap();
    for database in ["one", "two"] {
        admin.batch_execute(&format!("create database {database} owner master")).await.unwrap();
        let url = DatabaseUrl::parse(&server.url("master", "master", database)).unwrap();
        for _ in 0..2 {
            migrate(&url, false).await.unwrap();
        }
        let roles: String = admin.query_one(ROLES, &[]).await.unwrap().get(0);
        assert_eq!(roles, "exportbox_adhoc exportbox_operator exportbox_reader exportbox_requester exportbox_worker");
    }
    // Off by default: the migration lets nobody send queries of their own.
    let members = "select count(*) from pg_auth_members where roleid = 'exportbox_adhoc'::regrole";
    assert_eq!(admin.query_one(members, &[]).await.unwrap().get::<_, i64>(0), 0);

    // What docs/dba.md tells a DBA to run, by that master user.
    let master = connect(&server.url("master", "master", "one")).await;
    master
        .batch_execute(
            "create role reporting; create role exportbox_daemon login password 'd'; create role app login password 'a';
             grant exportbox_worker, reporting to exportbox_daemon;
             grant exportbox_requester to app;
             grant reporting to master;
             create table public.item as select 1 as n; grant select on public.item to reporting",
        )
        .await
        .unwrap();
    let registered =
        "set role exportbox_operator; select exportbox.register_report('items', 'select n from public.item', run_as => 'reporting')";
    admin.batch_execute("grant exportbox_operator to master").await.unwrap();
    connect(&server.url("master", "master", "one")).await.batch_execute(registered).await.unwrap();
    let sealed: String = master.query_one("select exportbox.seal_report('items')", &[]).await.unwrap().get(0);
    let owner = "select proowner::regrole::text from pg_proc where proname = $1";
    assert_eq!(master.query_one(owner, &[&sealed]).await.unwrap().get::<_, &str>(0), "reporting");
    let may_create = "select has_schema_privilege('reporting', 'exportbox', 'create')";
    assert!(!master.query_one(may_create, &[]).await.unwrap().get::<_, bool>(0), "only while it is sealed");
    let app = connect(&server.url("app", "a", "one")).await;
    app.batch_execute("insert into exportbox.outbox (report) values ('items')").await.unwrap();
    server.stop().await.unwrap();
}
