//! Bringing the schema up to date. Forward only, listed by hand, never edited after the first release, under an advisory lock.

use crate::database::{DatabaseError, DatabaseUrl};
use refinery::{Migration, Runner, Target};
use tokio_postgres::Row;

/// The schema as it is now: every file of `sql/schema`, in the order of their names.
macro_rules! schema {
    ($($file:literal),* $(,)?) => {
        concat!($(include_str!(concat!("../../sql/schema/", $file, ".sql")), "\n"),*)
    };
}

/// Every migration, in order: version name and text. Until the first release there is one, made from `sql/schema`.
pub const MIGRATIONS: &[(&str, &str)] = &[(
    "V1__exportbox",
    schema![
        "01_roles",
        "02_requests",
        "03_jobs",
        "04_results",
        "05_workers",
        "06_privacy",
        "10_checks",
        "11_params",
        "12_catalogue",
        "13_sealed",
        "20_door",
        "30_claim",
        "31_operate",
        "32_pause",
        "33_explain",
        "34_operate_many",
        "35_relink",
        "40_notices",
        "50_schedules",
        "60_erase",
        "70_retention",
        "80_views",
        "81_health",
        "99_rights",
    ],
)];

/// refinery's own table, inside our schema.
const HISTORY: &str = "exportbox.schema_history";
/// So that no function or operator of the same name in another schema is bound into ours, or runs with the rights of the role that migrates.
const PATH: &str = "set search_path = pg_catalog, pg_temp;";
const CREATE_SCHEMA: &str = "create schema if not exists exportbox";
/// The same, and refinery's table as refinery makes it, for people who read a dry run or try it by hand.
pub const SETUP: &str = "set search_path = pg_catalog, pg_temp;
create schema if not exists exportbox;
create table if not exists exportbox.schema_history (
    version integer primary key, name varchar(255), applied_on varchar(255), checksum varchar(255)
);";
/// Any number will do as long as no other program on this database uses it; this one spells "exportbo".
pub(super) const LOCK: i64 = 0x6578_706f_7274_626f;

/// What a migration did or would do.
#[derive(Debug, serde::Serialize)]
pub struct MigrationReport {
    /// The version the schema has now; with a dry run the one it would get.
    pub version: i64,
    /// Names of the migrations that ran, or would run.
    pub applied: Vec<String>,
    /// What runs before the first of them; none when nothing is missing.
    #[serde(skip)]
    pub setup: Option<&'static str>,
    /// Their text, with a dry run.
    #[serde(skip)]
    pub sql: Vec<&'static str>,
}

fn version(applied: &[(i64, String)]) -> i64 {
    applied.iter().map(|(version, _)| *version).max().unwrap_or(0)
}

fn latest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

fn runner() -> Result<Runner, DatabaseError> {
    let migrations: Result<Vec<Migration>, _> = MIGRATIONS.iter().map(|(name, sql)| Migration::unapplied(name, sql)).collect();
    let migrations = migrations.map_err(|error| DatabaseError::Schema(error.to_string()))?;
    let mut runner =
        Runner::new(&migrations).set_target(Target::Latest).set_abort_divergent(true).set_abort_missing(true).set_grouped(true);
    runner.set_migration_table_name(HISTORY);
    Ok(runner)
}

/// What the history says of a database: version and name of each migration that it has, oldest first.
pub(super) fn history(rows: &[Row]) -> Vec<(i64, String)> {
    rows.iter().map(|row| (row.get::<_, i32>("version").into(), row.get("name"))).collect()
}

/// The first migration has one name since the schema is made from one text. Before that it was one of many, and no release has it.
fn refuse_development_version(applied: &[(i64, String)]) -> Result<(), DatabaseError> {
    match applied.first() {
        Some((1, name)) if MIGRATIONS[0].0 != format!("V1__{name}") => Err(DatabaseError::Schema(
            "this database has the schema of a development version from before the first release, which nothing brings up to date; \
             drop the schema (drop schema exportbox cascade) or take a new database, then run: exportbox migrate"
                .into(),
        )),
        _ => Ok(()),
    }
}

/// Refuse a database whose applied versions are not exactly ours.
///
/// # Errors
/// `Schema` with what to do.
pub fn check_versions(applied: &[(i64, String)]) -> Result<(), DatabaseError> {
    refuse_development_version(applied)?;
    let (have, want) = (version(applied), latest());
    match have.cmp(&want) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => {
            Err(DatabaseError::Schema(format!("the schema has version {have}, this program needs {want}; run: exportbox migrate")))
        }
        std::cmp::Ordering::Greater => Err(DatabaseError::Schema(format!(
            "the schema has version {have}, newer than the {want} of this program; install the newer exportbox"
        ))),
    }
}

/// Bring the schema up to date, or with `dry_run` only say what that would run. Safe when started twice at once.
///
/// # Errors
/// What the database refused, and what to do where that is known.
pub async fn migrate(database: &DatabaseUrl, dry_run: bool) -> Result<MigrationReport, DatabaseError> {
    // The lock below belongs to a session. A pooler that shares sessions refuses the option, and with it a lock that would stay behind.
    let (mut client, connection) = database.named("exportbox migrate").with_options("-c exportbox.direct=on").connect().await?;
    let connection = tokio::spawn(connection);
    let report = migrate_with(&mut client, dry_run).await;
    drop(client);
    // The lock ends with the session; wait until the server has seen that.
    let _ = connection.await;
    report
}

async fn migrate_with(client: &mut tokio_postgres::Client, dry_run: bool) -> Result<MigrationReport, DatabaseError> {
    let is_direct = "select coalesce(current_setting('exportbox.direct', true) = 'on', false)";
    if !client.query_one(is_direct, &[]).await?.get::<_, bool>(0) {
        return Err(DatabaseError::Pooler("the session did not get its startup options".into()));
    }
    client
        .batch_execute(&format!("{PATH} set client_min_messages = warning; set lock_timeout = '60s'; select pg_advisory_lock({LOCK})"))
        .await?;
    let known: bool = client.query_one(&format!("select to_regclass('{HISTORY}') is not null"), &[]).await?.get(0);
    let applied = if known { history(&client.query(crate::sql::SCHEMA_VERSIONS, &[]).await?) } else { Vec::new() };
    refuse_development_version(&applied)?;
    let have = version(&applied);
    if have > latest() {
        return check_versions(&applied).map(|()| unreachable!("a newer schema is refused"));
    }
    let missing = &MIGRATIONS[usize::try_from(have).unwrap_or(0)..];
    let report = MigrationReport {
        version: latest(),
        setup: (!missing.is_empty()).then_some(if have == 0 { SETUP } else { PATH }),
        applied: missing.iter().map(|(name, _)| (*name).to_string()).collect(),
        sql: missing.iter().map(|(_, sql)| *sql).collect(),
    };
    // With nothing missing, too: the runner compares what was applied with what this program holds.
    if dry_run {
        return Ok(report);
    }
    client.batch_execute(CREATE_SCHEMA).await?;
    runner()?.run_async(client).await.map_err(refused)?;
    Ok(report)
}

/// refinery wraps the database's error; ours is the sentence that helps.
fn refused(error: refinery::Error) -> DatabaseError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(database) = inner.downcast_ref::<tokio_postgres::Error>()
            && let Some(db) = database.as_db_error()
        {
            let hint = db.hint().map(ToString::to_string);
            return DatabaseError::Refused { message: format!("{} (SQLSTATE {})", db.message(), db.code().code()), hint };
        }
        cause = inner.source();
    }
    DatabaseError::Schema(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_without_gaps() {
        for (position, (name, _)) in MIGRATIONS.iter().enumerate() {
            assert!(name.starts_with(&format!("V{}__", position + 1)), "{name}");
        }
    }

    #[test]
    fn an_older_and_a_newer_schema_are_refused_with_what_to_do() {
        let named = |versions: &[i64]| versions.iter().map(|version| (*version, "exportbox".to_string())).collect::<Vec<_>>();
        let error = |versions: &[i64]| check_versions(&named(versions)).unwrap_err().to_string();
        assert!(error(&[]).contains("exportbox migrate"));
        assert!(error(&[1, 99]).contains("newer exportbox"));
        assert!(check_versions(&named(&(1..=latest()).collect::<Vec<_>>())).is_ok());
    }

    #[test]
    fn the_schema_of_a_development_version_is_refused_before_anything_else_is_said_of_it() {
        let applied: Vec<(i64, String)> = [(1, "tables"), (2, "door"), (14, "reports")].map(|(n, name)| (n, name.to_string())).into();
        assert!(check_versions(&applied).unwrap_err().to_string().contains("development version"));
    }
}
