//! The server that queries run on.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::classify::{self, Phase};
use crate::database::{DatabaseConnection, DatabaseUrl};
use crate::job::Failure;
use crate::sql;

/// The source: where it is, and how to end what runs there.
#[derive(Debug, Clone)]
pub struct Source {
    database: DatabaseUrl,
}

impl Source {
    /// A source at this place.
    pub fn new(database: DatabaseUrl) -> Source {
        Source { database }
    }

    pub(super) async fn connect(&self, export_id: Uuid) -> Result<(tokio_postgres::Client, DatabaseConnection), Failure> {
        let database = self.database.named(&format!("exportbox export {export_id}"));
        database.connect().await.map_err(|error| classify::failure(&error, Phase::Connect))
    }

    pub(super) fn database(&self) -> &DatabaseUrl {
        &self.database
    }

    /// End a query that a lost attempt left running, and wait until it is gone. True: it was there. A backend with another start is a stranger's
    /// and stays.
    ///
    /// # Errors
    /// When the source cannot be asked, or the query has not ended within 10 s.
    pub async fn end_backend(&self, pid: i32, started_at: DateTime<Utc>) -> Result<bool, Failure> {
        let asking = async {
            let (client, connection) = self.database.named("exportbox end query").connect().await?;
            let connection = tokio::spawn(connection);
            let mut was_there = false;
            // A backend obeys at its next look; until then it may still write.
            while client.query_opt(sql::END_BACKEND, &[&pid, &started_at]).await?.is_some() {
                was_there = true;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            drop(client);
            // The connection's own errors are of no interest once the answer is here.
            let _ = connection.await;
            Ok::<bool, tokio_postgres::Error>(was_there)
        };
        match tokio::time::timeout(Duration::from_secs(10), asking).await {
            Ok(ended) => ended.map_err(|error| classify::failure(&error, Phase::Connect)),
            Err(_) => Err(classify::unreachable("the source did not answer, or the query did not end, within 10 s")),
        }
    }
}
