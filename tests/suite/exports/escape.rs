//! What a query tries in order to get out of its transaction, its role or its time, and what becomes of it.

use crate::harness::World;

/// Functions that a malicious author has made as the query's own role.
const TRICKS: &str = "
    create table public.item (word text, n int unique);
    insert into public.item values ('kept', 1);
    create sequence public.counter;
    grant all on public.item, public.counter to app;
    create function public.runs(statement text) returns text language plpgsql as $$ begin execute statement; return 'done'; end $$;
    create function public.swallows(statement text) returns text language plpgsql as $$
    begin
        execute statement; return 'done';
    exception when others then
        return sqlstate;
    end $$;";

/// What it tries, query, class.
const TRIES: &[(&str, &str, &str)] = &[
    ("a write in a function", "select runs('insert into item values (''x'', 2)')", "query"),
    ("a table in a function", "select runs('create table public.made (a int)')", "query"),
    ("the end of the transaction", "select runs('commit')", "query"),
    ("a statement behind it", "select 1; commit; drop table item", "query"),
    ("a way out of the parentheses", "select 1) to stdout; drop table item; copy (select 1", "query"),
    ("a comment that is left open", "select 1 /* ", "query"),
    ("a string that is left open", "select 'a", "query"),
    ("a dollar quote that is left open", "select $a$ 1", "query"),
    ("a writable transaction", "select runs('set transaction read write')", "query"),
    ("a writable transaction by its setting", "select set_config('transaction_read_only', 'off', true)", "query"),
    ("a prepared transaction", "select runs('prepare transaction ''x''')", "query"),
    ("a program", "select runs('copy (select 1) to program ''touch /tmp/exportbox-escaped''')", "permission"),
    ("a file of the server", "select runs('copy (select 1) to ''/tmp/exportbox-escaped''')", "permission"),
    ("reading a file", "select pg_read_file('/etc/passwd')", "permission"),
    ("listing a directory", "select pg_ls_dir('.')", "permission"),
    ("a large object from a file", "select lo_import('/etc/passwd')", "permission"),
    ("a large object to a file", "select lo_export(1, '/tmp/exportbox-escaped')", "permission"),
    ("a superuser", "select set_config('role', 'postgres', true)", "permission"),
    ("another session's user", "select set_config('session_authorization', 'postgres', true)", "permission"),
    ("a role it does not know", "select set_config('role', 'nobody_at_all', true)", "query"),
    ("the end of another's backend", "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'", "permission"),
    ("the server's settings", "select runs('alter system set work_mem = ''1GB''')", "query"),
    ("another's password hashes", "select rolname, rolpassword from pg_authid", "permission"),
    ("other people's requests", "select query, recipients from exportbox.outbox", "permission"),
    ("the key of the hashes", "select key from exportbox.privacy_key", "permission"),
];

#[tokio::test]
async fn whatever_tries_to_get_out_dies_and_has_changed_nothing() {
    let world = World::new().await;
    world.sql(TRICKS).await;
    let mut requests = Vec::new();
    for (what, query, class) in TRIES {
        requests.push((what, class, world.request(query, &["ann@example.com"]).await));
    }
    world.drain().await;
    for (what, class, id) in requests {
        let (found, sentence) = world.death(id).await;
        assert_eq!(found, *class, "{what}: {sentence}");
    }
    assert_eq!(world.text("select string_agg(word, ',') from public.item").await, "kept");
    assert_eq!(world.count("select count(*) from pg_class where relname = 'made'").await, 0);
    assert!(!std::path::Path::new("/tmp/exportbox-escaped").exists());
    assert_eq!(world.s3.objects("exports").await.unwrap(), []);
    assert!(world.mails().is_empty());
}

#[tokio::test]
async fn what_a_query_may_do_in_a_read_only_transaction_is_rolled_back_or_ends_with_it() {
    let world = World::new().await;
    world.sql(TRICKS).await;
    let mut ids = Vec::new();
    for query in [
        "select swallows('insert into item values (''x'', 2)') as said",
        "select swallows('select nextval(''counter'')') as said",
        "select swallows('notify exportbox, ''x''') as said",
        "select swallows('select lo_create(0)') as said",
        "select swallows('create temporary table made (a int)') as said",
        "select pg_advisory_lock(4711)::text as said",
        "select set_config('work_mem', '1GB', false) as said",
        "select set_config('application_name', 'somebody', false) as said",
    ] {
        ids.push(world.request(query, &[]).await);
    }
    world.complete(&ids).await;
    assert_eq!(world.text("select string_agg(word, ',') from public.item").await, "kept");
    assert_eq!(world.text("select is_called::text from public.counter").await, "false");
    assert_eq!(world.count("select count(*) from pg_largeobject_metadata").await, 0);
    // Each export has a connection of its own, so a lock or setting of a session ends with it.
    world.until("select not exists (select from pg_locks where locktype = 'advisory' and objid = 4711 and database = (select oid from pg_database where datname = current_database()))").await;
}

#[tokio::test]
async fn a_query_that_lifts_its_own_time_limit_is_ended_by_the_deadline() {
    let world = World::new().await;
    let query = "select pg_sleep(600) from (select set_config('statement_timeout', '0', true)) as lifted";
    let id = world.request_with(query, &[], "timeout => '2 seconds', max_attempts => 1").await;
    let running = world.start().await;
    world.until_state(id, "dead").await;
    running.stop().await;
    assert_eq!(world.export(id).await["error_class"], "timeout");
    world.until_query_is_gone(id).await;
}

#[tokio::test]
async fn what_is_set_for_a_query_is_as_documented() {
    let world = World::new().await;
    let names = [
        ("transaction_read_only", "on"),
        ("transaction_isolation", "repeatable read"),
        ("statement_timeout", ""),
        ("lock_timeout", "1min"),
        ("idle_in_transaction_session_timeout", "0"),
        ("TimeZone", "UTC"),
        ("DateStyle", "ISO, MDY"),
        ("role", "app"),
    ];
    let query = names.map(|(name, _)| format!("current_setting('{name}') as \"{name}\"")).join(", ");
    let file = world.file(&format!("select {query}"), &[], "format => 'jsonl'").await;
    let row: serde_json::Value = serde_json::from_str(&file).unwrap();
    for (name, value) in names.iter().filter(|(_, value)| !value.is_empty()) {
        assert_eq!(row[name], *value, "{name}");
    }
    assert_ne!(row["statement_timeout"], "0");
}

#[tokio::test]
async fn a_query_cannot_use_more_temporary_space_than_its_login_was_given() {
    let world = World::new().await;
    world.sql(&format!("alter role exportbox_daemon in database {0} set temp_file_limit = '1MB'; alter role exportbox_daemon in database {0} set work_mem = '64kB'", world.database)).await;
    let id = world.request("select n, md5(n::text) from generate_series(1, 100000) as n order by md5(n::text)", &[]).await;
    world.drain().await;
    let (class, sentence) = world.death(id).await;
    assert!(class == "query" && sentence.starts_with("The query needs more temporary space"), "{class}: {sentence}");
    let own = world.request("select set_config('temp_file_limit', '-1', true)", &[]).await;
    world.drain().await;
    assert_eq!(world.death(own).await.0, "permission");
}

#[tokio::test]
async fn another_connection_from_inside_needs_a_password_or_a_right_that_can_be_taken_away() {
    let world = World::new().await;
    // dblink is one of the extensions that RDS offers; PostgreSQL lets everybody call it.
    world.sql("create extension dblink; create table public.item (n int)").await;
    let here = format!("dbname={}", world.database);
    let query = format!("select n from public.dblink('{here}', 'insert into item values (1) returning n') as d (n int)");
    let without_password = world.request(&query, &[]).await;
    world.drain().await;
    let (class, sentence) = world.death(without_password).await;
    assert!(class == "query" || class == "permission", "{class}: {sentence}");
    world.sql("do $$ declare f regprocedure; begin for f in select oid from pg_proc where proname like 'dblink%' loop execute format('revoke execute on function %s from public', f); end loop; end $$").await;
    let revoked = world.request(&query, &[]).await;
    world.drain().await;
    assert_eq!(world.death(revoked).await.0, "permission");
    assert_eq!(world.count("select count(*) from public.item").await, 0);
}

/// A query can take any role that its connection's login may take: PostgreSQL has no way to forbid that.
const BECOMES: &str = "select who, current_user::text as became from (select set_config('role', 'exportbox_daemon', true) as who) as w";

#[tokio::test]
async fn an_ad_hoc_query_can_take_the_roles_of_its_connections_login_as_the_documentation_says() {
    let world = World::new().await;
    let file = world.file(BECOMES, &[], "").await;
    assert_eq!(file, "who,became\nexportbox_daemon,exportbox_daemon\n", "if this is refused now, docs/dba.md is out of date");
    let requester = world.login("careful", &["exportbox_requester"]).await;
    let said = crate::harness::requests::refusal(&requester, "insert into exportbox.outbox (query) values ('select 1')").await;
    assert_eq!(said.code, "EB003", "off unless it is granted");
}

#[tokio::test]
async fn with_a_login_of_its_own_for_its_requester_a_query_can_take_no_other_role() {
    let mut world = World::new().await;
    world.with_a_login_for_the_application();
    let id = world.request(BECOMES, &[]).await;
    let honest = world.request("select current_user::text as who, session_user::text as login", &[]).await;
    world.drain().await;
    assert_eq!(world.death(id).await.0, "permission");
    assert_eq!(world.stored(honest).await, b"who,login\napp,app\n");
    // Its queries are ended like all others.
    let long = world.request("select pg_sleep(600)", &[]).await;
    let running = world.start().await;
    world
        .until(&format!(
            "select exists (select from pg_stat_activity where application_name = 'exportbox export {long}' and query like 'copy%')"
        ))
        .await;
    world.cancel(long).await;
    world.until_state(long, "cancelled").await;
    running.stop().await;
    world.until_query_is_gone(long).await;
}
