//! Whoever may create in a schema of the search path gets nobody's rights by a function or operator that fits better than the system's.

use crate::harness::process::{code, stderr};
use crate::harness::{World, connect};

/// Each takes an argument's type exactly where the system's own wants a cast, and raises when it is called.
const PLANTED: &str =
    "create function public.hijacked() returns text language plpgsql as $$ begin raise exception 'ran as %', current_user; end $$;
    create function public.times(bigint, interval) returns interval language sql as $$ select public.hijacked()::interval $$;
    create operator public.* (function = public.times, leftarg = bigint, rightarg = interval);
    create function public.power(integer, integer) returns double precision language sql as $$ select public.hijacked()::float8 $$;
    create function public.format(text, text) returns text language sql as $$ select public.hijacked() $$;
    create function public.format(text, bigint) returns text language sql as $$ select public.hijacked() $$;
    create function public.set_config(text, text, bool, int default 1) returns text language sql as $$ select public.hijacked() $$;
    create function public.pg_char_to_encoding(text) returns integer language sql as $$ select public.hijacked()::integer $$;
    create function public.count(text) returns bigint language sql as $$ select public.hijacked()::bigint $$";

#[tokio::test]
async fn nobodys_operator_runs_with_the_rights_of_the_daemon_or_of_an_operator() {
    let world = World::with_sealed_reports().await;
    world.sql(PLANTED).await;
    let streamed = world.report("streamed", "select n from public.item", "compression => 'gzip', recipients => '{ann@example.com}'").await;
    let sealed = world.report("items", "select n from public.item", "").await;
    world.complete(&[streamed, sealed]).await;
    assert_eq!(world.exporters(sealed).await, ["aws_s3"]);
    let planned = "name = \"planned\"\nquery = \"select n from public.item\"\nrun_as = \"app\"\ntimeout = \"5m\"";
    let file = world.file_of("planned.toml", planned);
    world.sql("grant select on public.item to app").await;
    let url = world.operator_url().await;
    for arguments in [vec!["report", "add", file.to_str().unwrap()], vec!["status"], vec!["show", &streamed.to_string()]] {
        let said = world.run_with(&arguments, &[("EXPORTBOX_DATABASE_URL", &url)]).await;
        assert_eq!(code(&said), 0, "{arguments:?}: {}", stderr(&said));
    }
}

#[tokio::test]
async fn nobodys_operator_runs_behind_a_pooler_either() {
    let Some((world, _pooler)) = World::pooled(3).await else { return };
    world.sql(PLANTED).await;
    let id = world.request("select 1 as n", &["ann@example.com"]).await;
    world.complete(&[id]).await;
}

#[tokio::test]
async fn nobodys_function_is_bound_into_the_schema_or_runs_with_the_rights_of_who_migrates() {
    let world = World::new().await;
    let url = world.empty_database().await;
    let client = connect(&url).await;
    client.batch_execute(PLANTED).await.unwrap();
    let migrated = world.run_with(&["migrate"], &[("EXPORTBOX_DATABASE_URL", &url)]).await;
    assert_eq!(code(&migrated), 0, "{}", stderr(&migrated));
    let bound = "select count(*) from pg_depend join pg_proc on refclassid = 'pg_proc'::regclass and pg_proc.oid = refobjid
        where pronamespace = 'public'::regnamespace and classid <> 'pg_operator'::regclass";
    assert_eq!(client.query_one(bound, &[]).await.unwrap().get::<_, i64>(0), 0);
}
