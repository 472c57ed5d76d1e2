//! What `doctor` asks of the job tables.

use std::time::Duration;

use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use super::Admin;
use crate::database::{DatabaseError, Server, ms};
use crate::sql;

/// A table of ours.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Autovacuum looks after it.
    pub is_vacuumed: bool,
    /// Rows that are there.
    pub live_rows: i64,
    /// Rows that vacuum has not removed yet.
    pub dead_rows: i64,
}

/// A role that exports run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunsAs {
    /// The name of the source.
    pub source: String,
    /// The role.
    pub role: String,
    /// The key that the store encrypts with.
    pub kms_key: Option<String>,
}

/// The oldest snapshot.
#[derive(Debug, Clone)]
pub struct OldestSnapshot {
    /// Who holds it.
    pub holder: String,
    /// Transactions since.
    pub transactions: i64,
    /// What to do, when it is too old.
    pub alarm: Option<String>,
}

/// Null, whatever the type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl Admin {
    /// The server, as this process sees it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn server(&self) -> Result<Server, DatabaseError> {
        let row = self.pool.query_opt(sql::EXAMINE_SERVER, &[]).await?;
        row.map(|row| Server::from_row(&row)).ok_or_else(|| DatabaseError::Statement("no row about the server".into()))
    }

    /// What this login may not do of all that a daemon does: the server's words, and the statement that would fail. Each statement is planned,
    /// which checks its rights, and not run.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn lacking_rights(&self) -> Result<Vec<(String, &'static str)>, DatabaseError> {
        let connection = self.pool.connection().await?;
        let mut lacking = Vec::new();
        for (name, text) in sql::ALL.iter().filter(|(name, _)| !sql::FOR_PEOPLE.contains(name) && !sql::is_on_the_source(name)) {
            let nulls: Vec<(&(dyn ToSql + Sync), Type)> =
                sql::parameter_types(text).into_iter().map(|data_type| (&Null as &(dyn ToSql + Sync), data_type)).collect();
            match connection.query_typed(&format!("explain {text}"), &nulls).await.map_err(DatabaseError::from) {
                Ok(_) => {}
                Err(DatabaseError::Privilege(said)) => lacking.push((said, *name)),
                Err(error) => return Err(error),
            }
        }
        Ok(lacking)
    }

    /// The tables of the schema.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn tables(&self) -> Result<Vec<Table>, DatabaseError> {
        let rows = self.pool.query(sql::EXAMINE_TABLES, &[]).await?;
        let table = |row: &tokio_postgres::Row| Table {
            name: row.get("name"),
            is_vacuumed: row.get("is_vacuumed"),
            live_rows: row.get("live_rows"),
            dead_rows: row.get("dead_rows"),
        };
        Ok(rows.iter().map(table).collect())
    }

    /// The roles that exports run as: those of the current reports, and those that have sent queries of late.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn runs_as(&self) -> Result<Vec<RunsAs>, DatabaseError> {
        let rows = self.pool.query(sql::EXAMINE_ROLES, &[]).await?;
        Ok(rows.iter().map(|row| RunsAs { source: row.get("source"), role: row.get("role"), kms_key: row.get("kms_key") }).collect())
    }

    /// Who holds back vacuum, with an alarm from this age on.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn oldest_snapshot(&self, alarm: Duration) -> Result<Option<OldestSnapshot>, DatabaseError> {
        let row = self.pool.query_opt(sql::EXAMINE_SNAPSHOT, &[&ms(alarm)]).await?;
        Ok(row.map(|row| OldestSnapshot { holder: row.get("holder"), transactions: row.get("transactions"), alarm: row.get("alarm") }))
    }

    /// How many of these objects, each with the lease token in its key, belong to nothing.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn orphans(&self, bucket: &str, keys: &[String], tokens: &[Uuid]) -> Result<i64, DatabaseError> {
        let row = self.pool.query_opt(sql::EXAMINE_ORPHANS, &[&bucket, &keys, &tokens]).await?;
        Ok(row.map(|row| row.get("orphans")).unwrap_or_default())
    }
}
