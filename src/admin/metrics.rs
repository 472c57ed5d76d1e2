//! The figures of the tables for metrics: one statement, asked when somebody scrapes.

use std::time::Duration;

use super::Admin;
use crate::database::DatabaseError;
use crate::sql;

/// One figure of the tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Of which metric.
    pub metric: String,
    /// Of which kind of job, if of one.
    pub kind: Option<String>,
    /// Of jobs in which state, if in one.
    pub state: Option<String>,
    /// How much.
    pub value: f64,
}

impl Admin {
    /// Connections of the pool: those that are open, and those that are in use.
    pub fn pool_usage(&self) -> (usize, usize) {
        self.pool.usage()
    }

    /// Ask for the figures, and do not wait longer than this for the connection, nor for the answer.
    ///
    /// # Errors
    /// When the database cannot be asked, or does not answer in time.
    pub async fn metrics(&self, patience: Duration) -> Result<Vec<Reading>, DatabaseError> {
        let busy = |_| DatabaseError::Unavailable("no connection in time".into());
        let connection = tokio::time::timeout(patience, self.pool.connection()).await.map_err(busy)??;
        let rows = match tokio::time::timeout(patience, self.pool.ask(&connection, sql::FIGURES, &[])).await {
            Ok(rows) => rows?,
            Err(_) => return Err(self.pool.give_up(connection)),
        };
        let reading = |row: &tokio_postgres::Row| Reading {
            metric: row.get("metric"),
            kind: row.get("kind"),
            state: row.get("state"),
            value: row.get("value"),
        };
        Ok(rows.iter().map(reading).collect())
    }
}
