//! The metrics of the tables: one statement, run when somebody scrapes.

use std::time::Duration;

use super::Admin;
use crate::database::DatabaseError;
use crate::sql;

/// One value that was read from the tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The metric.
    pub metric: String,
    /// The kind of job, where the metric has that label.
    pub kind: Option<String>,
    /// The state, where the metric has that label.
    pub state: Option<String>,
    /// The value.
    pub value: f64,
}

impl Admin {
    /// Connections of the pool: those that are open, and those that are in use.
    pub fn pool_usage(&self) -> (usize, usize) {
        self.pool.usage()
    }

    /// Read them, and wait no longer than this for the connection, nor for the answer.
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
