//! What a process checks before it works: that the schema is this program's, and that there are connections for it.

use std::time::{Duration, Instant};

use tokio_postgres::Row;

use super::{Admin, migrate};
use crate::database::{ConnectionLimits, DatabaseError};
use crate::sql;

/// How long whoever starts waits for a migration.
const MIGRATION: Duration = Duration::from_secs(60);

impl Admin {
    /// Refuse a schema that is missing, older or newer than this program. Waits for a migration that is under way.
    ///
    /// # Errors
    /// `Schema` with the command that mends it; or why the database cannot be asked.
    pub async fn check_schema(&self) -> Result<(), DatabaseError> {
        let begun = Instant::now();
        loop {
            // During a migration the schema may be there without the grants.
            let error = match self.read_schema().await {
                Err(error @ (DatabaseError::Schema(_) | DatabaseError::Privilege(_))) => error,
                looked => return looked,
            };
            let row = self.pool.query_opt(sql::MIGRATING, &[&migrate::LOCK]).await?;
            if begun.elapsed() > MIGRATION || !row.is_some_and(|row| row.get("migrating")) {
                // The migration may have ended between the two statements.
                return self.read_schema().await.map_err(|_| error);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What a process checks before it works, in one round trip. Refuses a schema that is missing, older or newer than this program (it waits for a
    /// migration that is under way), and a pooler that the settings do not name. Returns how many connections there are for this login.
    ///
    /// # Errors
    /// As `check_schema` and `limits`.
    pub async fn arrive(&self) -> Result<ConnectionLimits, DatabaseError> {
        let connection = self.pool.connection().await?;
        let asking = async {
            tokio::join!(self.pool.ask(&connection, sql::SCHEMA_VERSIONS, &[]), self.pool.ask(&connection, sql::CONNECTIONS, &[]))
        };
        let Ok((versions, limits)) = tokio::time::timeout(self.pool.patience(), asking).await else {
            return Err(self.pool.give_up(connection));
        };
        drop(connection);
        match versions.map(|rows| migrate::check_versions(&migrate::history(&rows))) {
            Ok(Ok(())) => self.limits_from(&limits?),
            _ => {
                self.check_schema().await?;
                self.limits().await
            }
        }
    }

    async fn read_schema(&self) -> Result<(), DatabaseError> {
        migrate::check_versions(&migrate::history(&self.pool.query(sql::SCHEMA_VERSIONS, &[]).await?))
    }

    /// How many connections there are for this login, and how many are in use. Refuses a pooler that the settings do not name.
    ///
    /// # Errors
    /// `Pooler`; or why the database cannot be asked.
    pub async fn limits(&self) -> Result<ConnectionLimits, DatabaseError> {
        self.limits_from(&self.pool.query(sql::CONNECTIONS, &[]).await?)
    }

    fn limits_from(&self, rows: &[Row]) -> Result<ConnectionLimits, DatabaseError> {
        let row = rows.first().ok_or_else(|| DatabaseError::Statement("no row of limits".into()))?;
        if !self.pool.is_pooled() && !row.get::<_, bool>("is_direct") {
            return Err(DatabaseError::Pooler("the session did not get its startup options".into()));
        }
        Ok(ConnectionLimits::from_row(row))
    }
}
