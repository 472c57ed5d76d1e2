//! Verbs of tests about rights: who may do what to which object, where a text is found, and a world whose worker alone may call aws_s3.

use std::collections::BTreeSet;

use exportbox::database::DatabaseUrl;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{World, connect, postgres};

/// One line per schema, table and view with its columns, column with grants of its own, sequence and function: what each role may do with it,
/// inherited rights too.
const RIGHTS: &str = "
    with who (role, shown) as (values ($1, 'nobody'), ('exportbox_requester', 'requester'), ('exportbox_adhoc', 'adhoc'),
        ('exportbox_worker', 'worker'), ('exportbox_operator', 'operator'), ('exportbox_reader', 'reader')),
    relation as (
        select oid, relname, case relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end as kind
        from pg_class where relnamespace = 'exportbox'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    ),
    may as (
        select 'schema exportbox' as object, shown, privilege
        from who, unnest(array['usage', 'create']) as privilege where has_schema_privilege(role, 'exportbox', privilege)
        union all
        select kind || ' ' || relname, shown, privilege
        from relation, who, unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) as privilege
        where kind <> 'sequence' and has_table_privilege(role, oid, privilege)
        union all
        select kind || ' ' || relname, shown, privilege
        from relation, who, unnest(array['usage', 'select', 'update']) as privilege
        where kind = 'sequence' and has_sequence_privilege(role, oid, privilege)
        union all
        select 'column ' || relname || '.' || attname, shown, privilege
        from relation join pg_attribute on attrelid = relation.oid and attnum > 0 and not attisdropped, who,
            unnest(array['select', 'insert', 'update', 'references']) as privilege
        where kind <> 'sequence' and has_column_privilege(role, attrelid, attnum, privilege) and not has_table_privilege(role, attrelid, privilege)
        union all
        select 'function ' || oid::regprocedure::text, shown, 'execute'
        from pg_proc, who where pronamespace = 'exportbox'::regnamespace and has_function_privilege(role, oid, 'execute')
    ),
    object (name) as (
        select 'schema exportbox'
        union all select kind || ' ' || relname from relation
        union all
        -- Where one column has grants of its own, every column of its table has a line.
        select 'column ' || relname || '.' || attname
        from relation join pg_attribute on attrelid = relation.oid and attnum > 0 and not attisdropped
        where exists (select from may where may.object like 'column ' || relname || '.%')
        union all select 'function ' || oid::regprocedure::text from pg_proc where pronamespace = 'exportbox'::regnamespace
    ),
    line as (
        select object.name, (
            select string_agg(by_role.shown || ' ' || by_role.privileges, '; ' order by by_role.shown)
            from (select shown, string_agg(privilege, ' ' order by privilege) as privileges from may where may.object = object.name group by shown) as by_role
        ) as rights
        from object
    )
    select replace(name, 'exportbox.', '') || coalesce((
            select ' (' || string_agg(attname, ' ' order by attnum) || ')'
            from relation join pg_attribute on attrelid = relation.oid and attnum > 0 and not attisdropped
            where line.name = relation.kind || ' ' || relname and kind <> 'sequence'), '')
        || ': ' || coalesce(rights, '-')
    from line order by name collate \"C\"";

impl World {
    /// What each role of the schema may do, and a role without any (which is PUBLIC), a line per object.
    pub async fn rights(&self) -> Vec<String> {
        let nobody = format!("nobody_{}", self.database);
        self.sql(&format!("create role {nobody}")).await;
        let lines = self.admin.query(RIGHTS, &[&nobody]).await.unwrap();
        self.sql(&format!("drop role {nobody}")).await;
        lines.iter().map(|row| row.get(0)).collect()
    }

    /// `table.column` of every column of a table that can hold text.
    pub async fn text_columns(&self) -> BTreeSet<String> {
        let columns = "select relname || '.' || attname from pg_attribute join pg_class on pg_class.oid = attrelid
            where relnamespace = 'exportbox'::regnamespace and relkind in ('r', 'p') and attnum > 0 and not attisdropped
                and (atttypid in ('text'::regtype, 'text[]'::regtype, 'varchar'::regtype, 'name'::regtype, 'json'::regtype, 'jsonb'::regtype, 'bytea'::regtype)
                    or atttypid >= 16384)";
        self.admin.query(columns, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// `table.column` of every column of any table and type that holds this text, whatever its case.
    pub async fn places_of(&self, text: &str) -> Vec<String> {
        let columns = "select relname::text, attname::text from pg_attribute join pg_class on pg_class.oid = attrelid
            where relnamespace = 'exportbox'::regnamespace and relkind in ('r', 'p') and attnum > 0 and not attisdropped order by 1, 2";
        let mut places = Vec::new();
        for row in self.admin.query(columns, &[]).await.unwrap() {
            let (table, column): (String, String) = (row.get(0), row.get(1));
            let holds = format!("select exists (select from exportbox.{table} where position(lower($1) in lower({column}::text)) > 0)");
            if self.row(&holds, &[&text]).await.get(0) {
                places.push(format!("{table}.{column}"));
            }
        }
        places
    }

    /// A member of exportbox_operator.
    pub async fn operator(&self) -> Client {
        self.login("operator", &["exportbox_operator"]).await
    }

    /// The same, and the URL of its login: for commands.
    pub async fn operators(&self) -> (String, Client) {
        let name = format!("operator_{}", self.database);
        let client = self.operator().await;
        (postgres().url(&name, &name, &self.database), client)
    }

    /// The stand-in for aws_s3, called by the daemon's login and by nobody else. That login is this world's own, and a member of the role
    /// `{database}_reports`, which owns nothing and reads `public.item`.
    pub async fn with_sealed_reports() -> World {
        let mut world = World::with_aws_s3().await;
        let (daemon, reports) = (format!("{}_daemon", world.database), world.reports());
        world
            .sql(&format!(
                "create table public.item as select n, 'item ' || n as word from generate_series(1, 20) as n;
                 create role {reports};
                 grant select on public.item to {reports};
                 create role {daemon} login password '{daemon}';
                 grant exportbox_worker, {reports}, app to {daemon}"
            ))
            .await;
        exportbox::sandbox::aws_s3::grant_to(&world.admin, &daemon).await.unwrap();
        let url = DatabaseUrl::parse(&postgres().url(&daemon, &daemon, &world.database)).unwrap();
        (world.settings.database, world.settings.source) = (url.clone(), url);
        world
    }

    /// The role that this world's reports run as.
    pub fn reports(&self) -> String {
        format!("{}_reports", self.database)
    }

    /// Register a report that runs as that role, whatever its query will come to, seal it if it can be, and request it as the application.
    pub async fn report(&self, name: &str, query: &str, more: &str) -> Uuid {
        let register = "select exportbox.register_report($1, $2, '{\"who\": \"text\"}', $3, plan => false)";
        self.row(register, &[&name, &query, &self.reports()]).await;
        // Some cannot be, and are exported all the same.
        let _ = self.admin.execute("select exportbox.seal_report($1)", &[&name]).await;
        let comma = if more.is_empty() { "" } else { ", " };
        let request = format!("select exportbox.request_export(report => $1{comma}{more})");
        self.app().await.query_one(&request, &[&name]).await.unwrap().get(0)
    }

    /// Another login than the daemon's for queries of the application's role: that role itself.
    pub fn with_a_login_for_the_application(&mut self) {
        self.settings.source_for = vec![("app".into(), DatabaseUrl::parse(&self.app_url()).unwrap())];
    }

    /// A connection as the daemon's login.
    pub async fn daemons_own(&self) -> Client {
        connect(&self.daemon_url()).await
    }
}
