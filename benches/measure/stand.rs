//! What every case stands on: a private server with the schema, S3 and SES, and the program as a process of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use exportbox::admin::migrate::migrate;
use exportbox::database::DatabaseUrl;
use exportbox::sandbox::{DAEMON, PostgresOptions, Sandbox, SandboxOptions};
use tokio::process::{Child, Command};
use tokio_postgres::{Client, NoTls, Row};

/// The program under measurement, built with the profile of the benchmark.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_exportbox");
const DATABASE: &str = "shop";

/// One database of the server, with the schema.
pub struct Database {
    /// A superuser's connection.
    pub admin: Client,
    /// A superuser's URL.
    pub admin_url: String,
    /// The daemon's URL.
    pub daemon_url: String,
    /// The application's URL.
    pub app_url: String,
}

/// A running stand. Dropping it ends everything.
pub struct Stand {
    /// The parts.
    pub sandbox: Sandbox,
    /// A superuser's connection.
    pub admin: Client,
}

impl Stand {
    /// A server as people run it: durable, with memory for the working set. What a case needs besides is given by name and value.
    pub async fn start(more: &[(&str, &str)]) -> anyhow::Result<Stand> {
        let usual = [
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("full_page_writes", "on"),
            ("shared_buffers", "1GB"),
            ("max_wal_size", "8GB"),
            ("shared_preload_libraries", "pg_stat_statements"),
            ("pg_stat_statements.max", "10000"),
        ];
        let settings = usual.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let postgres = PostgresOptions { settings, max_connections: 300, ..PostgresOptions::default() };
        let options = SandboxOptions { postgres, program: Some(PROGRAM.into()), ..SandboxOptions::default() };
        let sandbox = Sandbox::start(options).await?;
        sandbox.create_database(DATABASE).await?;
        migrate(&DatabaseUrl::parse(&sandbox.postgres.superuser_url_for(DATABASE))?, false).await.context("migrate")?;
        let admin = sandbox.connect(DATABASE).await?;
        sandbox.grant_daemon(&admin).await?;
        // The role of the application: requests, also with queries of its own.
        admin
            .batch_execute(&format!(
                "create extension pg_stat_statements;
                 create role app login password 'app'; grant exportbox_requester, exportbox_adhoc to app; grant app to {DAEMON};
                 create schema business authorization app"
            ))
            .await?;
        Ok(Stand { sandbox, admin })
    }

    /// The database that is there from the start.
    pub async fn database(&self) -> anyhow::Result<Database> {
        self.opened(DATABASE).await
    }

    /// One more database of the same server.
    pub async fn another_database(&self, name: &str) -> anyhow::Result<Database> {
        self.sandbox.create_database(name).await?;
        let database = self.opened(name).await?;
        migrate(&DatabaseUrl::parse(&database.admin_url)?, false).await.with_context(|| format!("migrate {name}"))?;
        Ok(database)
    }

    async fn opened(&self, name: &str) -> anyhow::Result<Database> {
        let daemon = self.sandbox.environment(name).into_iter().find(|(variable, _)| variable == "EXPORTBOX_DATABASE_URL");
        Ok(Database {
            admin: self.sandbox.connect(name).await?,
            admin_url: self.sandbox.postgres.superuser_url_for(name),
            daemon_url: daemon.context("the environment of the daemon names its database")?.1,
            app_url: self.sandbox.postgres.url("app", "app", name),
        })
    }

    /// A superuser's URL.
    pub fn admin_url(&self) -> String {
        self.sandbox.postgres.superuser_url_for(DATABASE)
    }

    /// The application's URL.
    pub fn app_url(&self) -> String {
        self.sandbox.postgres.url("app", "app", DATABASE)
    }

    /// A connection to any URL.
    pub async fn connect(&self, url: &str) -> anyhow::Result<Client> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// The program with the sandbox's environment and nothing else; quiet. `set` overrides.
    pub fn program(&self, arguments: &[&str], set: &[(&str, &str)]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.sandbox.environment(DATABASE)).env("EXPORTBOX_LOG", "warn").envs(set.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command
    }

    /// `exportbox run`, ready: it has registered and sleeps.
    pub async fn run(&self, set: &[(&str, &str)]) -> anyhow::Result<Child> {
        let asleep = "select count(*) from exportbox.worker where waiting_until > now()";
        let before: i64 = self.admin.query_one(asleep, &[]).await?.get(0);
        let child = self.program(&["run"], set).spawn().context("start exportbox run")?;
        self.until(&format!("select ({asleep}) > {before}")).await?;
        Ok(child)
    }

    /// A command of PostgreSQL's client tools that is found beside the server's.
    pub fn client_program(&self, name: &str) -> anyhow::Result<Command> {
        let beside = ["/usr/lib/postgresql", "/usr/pgsql"].iter().flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten().flatten());
        let mut found: Vec<_> = beside.map(|entry| entry.path().join("bin").join(name)).filter(|path| path.exists()).collect();
        found.sort();
        let path = found.pop().unwrap_or_else(|| Path::new(name).to_owned());
        let mut command = Command::new(path);
        command.stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    /// Wait until this says true.
    pub async fn until(&self, condition: &str) -> anyhow::Result<()> {
        let waiting = async {
            while !self.admin.query_one(condition, &[]).await?.get::<_, bool>(0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(900), waiting).await.with_context(|| format!("not so within 15 minutes: {condition}"))?
    }

    /// Statements of the daemon's login since the last call.
    pub async fn statements(&self) -> anyhow::Result<f64> {
        let count = "select coalesce(sum(calls), 0)::float8 from pg_stat_statements as s join pg_roles as r on r.oid = s.userid where r.rolname = $1";
        let calls: f64 = self.admin.query_one(count, &[&DAEMON]).await?.get(0);
        self.admin.batch_execute("select pg_stat_statements_reset()").await?;
        Ok(calls)
    }

    /// The same for each of so many units of work. Says on stderr what they are made of, and how long the server took for each.
    pub async fn statements_of(&self, what: &str, units: f64) -> anyhow::Result<f64> {
        let count = "select coalesce(substring(s.query from '-- name: (\\w+)'), left(s.query, 40)) as name, sum(s.calls)::float8 as calls,
                sum(s.total_exec_time) / sum(s.calls) as ms
            from pg_stat_statements as s join pg_roles as r on r.oid = s.userid where r.rolname = $1 group by name order by calls desc, name";
        let rows = self.admin.query(count, &[&DAEMON]).await.context("ask for statements by name")?;
        self.admin.batch_execute("select pg_stat_statements_reset()").await?;
        let each = |row: &Row| (row.get::<_, String>("name"), row.get::<_, f64>("calls") / units, row.get::<_, f64>("ms"));
        let each: Vec<_> = rows.iter().map(each).collect();
        let told: Vec<String> = each.iter().take(20).map(|(name, calls, ms)| format!("{name} {calls:.2} of {ms:.2} ms")).collect();
        eprintln!("          {what}: {}", told.join(", "));
        Ok(each.iter().map(|(_, calls, _)| calls).sum())
    }

    /// Statements of everybody but the superuser since the last call: those of an export's own transaction run as its role.
    pub async fn statements_of_all(&self) -> anyhow::Result<f64> {
        let count = "select coalesce(sum(calls), 0)::float8 from pg_stat_statements as s join pg_roles as r on r.oid = s.userid where not r.rolsuper";
        let calls: f64 = self.admin.query_one(count, &[]).await?.get(0);
        self.admin.batch_execute("select pg_stat_statements_reset()").await?;
        Ok(calls)
    }

    /// Remove every stored file, so that no case needs the room of all its rounds.
    pub fn remove_files(&self) -> anyhow::Result<()> {
        let bucket = self.sandbox.s3.dir().join(self.sandbox.bucket());
        for entry in bucket.read_dir().context("read the bucket")? {
            let path = entry?.path();
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }.context("empty the bucket")?;
        }
        Ok(())
    }

    /// The server's process, whose family is the whole server.
    pub fn server_pid(&self) -> u32 {
        self.sandbox.postgres.pid().unwrap_or_default()
    }
}
