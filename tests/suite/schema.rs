//! The schema as it is now stands in `sql/schema`, by topic, and what `migrate` makes is the same.

use crate::harness::files::files;
use crate::harness::{World, connect};

/// Everything that makes an object what it is, one line each.
const OBJECTS: &str = "
    select said from (
        select format('schema: owner %s, rights %s', pg_get_userbyid(nspowner), nspacl) as said from pg_namespace where nspname = 'exportbox'
        union all
        select format('relation %s: kind %s, owner %s, rights %s, options %s, row security %s %s, comment %s', relname, relkind,
            pg_get_userbyid(relowner), (select array_agg(a::text order by a::text) from unnest(relacl) as a), reloptions, relrowsecurity,
            relforcerowsecurity, obj_description(oid, 'pg_class'))
        from pg_class where relnamespace = 'exportbox'::regnamespace and relkind in ('r', 'v', 'S')
        union all
        select format('column %s.%s %s: %s, not null %s, default %s, identity %s, rights %s, comment %s', relname, attnum, attname,
            format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid), attidentity,
            (select array_agg(a::text order by a::text) from unnest(attacl) as a), col_description(attrelid, attnum))
        from pg_attribute join pg_class on pg_class.oid = attrelid
        left join pg_attrdef on adrelid = attrelid and adnum = attnum
        where relnamespace = 'exportbox'::regnamespace and relkind in ('r', 'v') and attnum > 0 and not attisdropped
        union all
        select format('constraint %s.%s: %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        from pg_constraint where connamespace = 'exportbox'::regnamespace
        union all
        select format('index %s, comment %s', pg_get_indexdef(oid), obj_description(oid, 'pg_class'))
        from pg_class where relnamespace = 'exportbox'::regnamespace and relkind = 'i'
        union all
        select format('statistics %s, comment %s', pg_get_statisticsobjdef(oid), obj_description(oid, 'pg_statistic_ext'))
        from pg_statistic_ext where stxnamespace = 'exportbox'::regnamespace
        union all
        select format('%s, owner %s, rights %s, comment %s', pg_get_functiondef(oid), pg_get_userbyid(proowner),
            (select array_agg(a::text order by a::text) from unnest(proacl) as a), obj_description(oid, 'pg_proc'))
        from pg_proc where pronamespace = 'exportbox'::regnamespace
        union all
        select format('view %s: %s', relname, pg_get_viewdef(oid)) from pg_class where relnamespace = 'exportbox'::regnamespace and relkind = 'v'
        union all
        select pg_get_triggerdef(pg_trigger.oid) from pg_trigger join pg_class on pg_class.oid = tgrelid
        where relnamespace = 'exportbox'::regnamespace and not tgisinternal
        union all
        select format('policy %s on %s: %s %s %s, using %s, check %s', polname, polrelid::regclass, polcmd, polpermissive,
            polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
        from pg_policy join pg_class on pg_class.oid = polrelid where relnamespace = 'exportbox'::regnamespace
    ) as objects
    order by said";

async fn objects(url: &str) -> Vec<String> {
    connect(url).await.query(OBJECTS, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn the_files_of_the_schema_and_migrate_make_the_same_objects() {
    let world = World::new().await;
    let url = world.empty_database().await;
    let client = connect(&url).await;
    let setup = exportbox::admin::migrate::SETUP;
    client.batch_execute(setup).await.unwrap();
    for (name, text) in files("sql/schema", "sql") {
        client.batch_execute(&text).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    let by_file = objects(&url).await;
    client.batch_execute("drop schema exportbox cascade").await.unwrap();
    let migrated = world.run_with(&["migrate"], &[("EXPORTBOX_DATABASE_URL", &url)]).await;
    assert!(migrated.status.success());
    let by_migration = objects(&url).await;
    assert!(by_file.len() > 500, "only {} objects are compared", by_file.len());
    let only = |of: &[String], other: &[String]| of.iter().filter(|object| !other.contains(object)).cloned().collect::<Vec<_>>();
    let (missing, more) = (only(&by_file, &by_migration), only(&by_migration, &by_file));
    assert!(missing.is_empty() && more.is_empty(), "only by the files: {missing:#?}\nonly by migrate: {more:#?}");
}

/// Name of the function, view or table that a line begins to define.
fn defined(line: &str) -> Option<&str> {
    let rest = ["create function exportbox.", "create table exportbox.", "create view exportbox."]
        .iter()
        .find_map(|how| line.strip_prefix(how))?;
    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()
}

/// Names behind `exportbox.` in a line.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split("exportbox.").skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap())
}

#[test]
fn each_object_is_defined_once_and_a_file_says_what_it_calls_of_a_later_one() {
    let mut homes = std::collections::BTreeMap::new();
    let there = files("sql/schema", "sql");
    let mut wrong = Vec::new();
    for (file, text) in &there {
        for line in text.lines() {
            // A table and the function that fills it may have the same name.
            if let Some(name) = defined(line)
                && let Some(home) = homes.insert((name, line.split(' ').nth(1).unwrap()), file)
            {
                wrong.push(format!("{name} is defined in {home} and in {file}"));
            }
        }
    }
    for (file, text) in &there {
        let remarks: String = text.lines().filter(|line| line.trim_start().starts_with("--")).collect();
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with("--") && !line.starts_with("comment on ") && !line.contains("hint = "))
        {
            for name in named(line) {
                let homes: Vec<_> = homes.iter().filter(|((known, _), _)| *known == name).map(|(_, home)| *home).collect();
                if !homes.is_empty() && homes.iter().all(|home| *home > file) {
                    let home = homes[0].rsplit('/').next().unwrap();
                    if !remarks.contains(&format!("exportbox.{name} of {home}")) {
                        wrong.push(format!("{file} names exportbox.{name}, which {home} defines, without saying so"));
                    }
                }
            }
        }
    }
    assert!(homes.len() > 100, "only {} objects are known", homes.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
