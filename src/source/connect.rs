//! The server that queries run on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::classify::{self, Phase};
use crate::database::{DatabaseConnection, DatabaseUrl, Limits};
use crate::job::{Failure, FailureClass, Verdict};
use crate::sql;

/// The source: where it is, and how to end what runs there.
#[derive(Debug, Clone)]
pub struct Source {
    database: DatabaseUrl,
    /// One query at a time is ended over a connection of its own: a process never takes more than that one beside its slots.
    ending: Arc<tokio::sync::Mutex<()>>,
    /// It was said that this login may not end queries.
    said_powerless: Arc<AtomicBool>,
}

impl Source {
    /// A source at this place.
    pub fn new(database: DatabaseUrl) -> Source {
        Source { database, ending: Arc::default(), said_powerless: Arc::default() }
    }

    pub(super) async fn connect(&self, export_id: Uuid) -> Result<(tokio_postgres::Client, DatabaseConnection), Failure> {
        let database = self.database.named(&format!("exportbox export {export_id}"));
        database.connect().await.map_err(|error| classify::failure(&error, Phase::Connect))
    }

    pub(super) fn database(&self) -> &DatabaseUrl {
        &self.database
    }

    /// End a query that a lost attempt left running. True: it was there. A backend with another start is a stranger's and stays; so does one of
    /// another login, unless this one may end it.
    ///
    /// # Errors
    /// When the source cannot be asked.
    pub async fn end_backend(&self, pid: i32, started_at: DateTime<Utc>) -> Result<bool, Failure> {
        let params: [&(dyn ToSql + Sync); 2] = [&pid, &started_at];
        let _one_at_a_time = self.ending.lock().await;
        let row = match self.ask("exportbox end query", sql::END_BACKEND, &params).await {
            Err(failure) if failure.class == FailureClass::Permission => None,
            row => row?.map_or(Some(false), |row| row.get("ended")),
        };
        if row.is_none() && !self.said_powerless.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                backend.pid = pid,
                "this login may not end the queries that another login left running; use one login, or grant it pg_signal_backend and \
                 pg_read_all_stats"
            );
        }
        Ok(row.unwrap_or(false))
    }

    /// How many connections there are for this login, and how many are in use.
    ///
    /// # Errors
    /// When the source cannot be asked.
    pub async fn limits(&self) -> Result<Limits, Failure> {
        let row = self.ask("exportbox connections", sql::CONNECTIONS, &[]).await?;
        row.map(|row| Limits::from_row(&row)).ok_or_else(|| classify::unreachable("it does not know its own login"))
    }

    /// One statement over a connection of its own.
    async fn ask(&self, name: &str, statement: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, Failure> {
        let asking = async {
            let (client, connection) = self.database.named(name).connect().await?;
            let connection = tokio::spawn(connection);
            let row = client.query_typed_opt(statement, &sql::typed(statement, params)).await?;
            drop(client);
            // The connection's own errors are of no interest once the answer is here.
            let _ = connection.await;
            Ok::<_, tokio_postgres::Error>(row)
        };
        match tokio::time::timeout(Duration::from_secs(10), asking).await {
            Ok(Err(error)) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                Err(Failure::new(FailureClass::Permission, Verdict::Retry, "The daemon's login lacks a privilege on the source."))
            }
            Ok(row) => row.map_err(|error| classify::failure(&error, Phase::Connect)),
            Err(_) => Err(classify::unreachable("the source did not answer within 10 s")),
        }
    }
}
