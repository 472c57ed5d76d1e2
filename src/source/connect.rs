//! The server that queries run on.

use std::collections::HashMap;
use std::sync::Arc;
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
    /// Logins of their own, by role.
    for_roles: Arc<HashMap<String, DatabaseUrl>>,
}

impl Source {
    /// A source at this place.
    pub fn new(database: DatabaseUrl) -> Source {
        Source { database, for_roles: Arc::default() }
    }

    /// The queries of these roles run over logins of their own.
    #[must_use]
    pub fn with_logins(mut self, for_roles: &[(String, DatabaseUrl)]) -> Source {
        self.for_roles = Arc::new(for_roles.iter().cloned().collect());
        self
    }

    /// The source as the queries of this role see it: a query can take any role that its connection's login may take, so a role that others may
    /// send queries as deserves a login that may take no other.
    pub(super) fn of_role(&self, role: &str) -> Source {
        let database = self.for_roles.get(role).unwrap_or(&self.database).clone();
        Source { database, for_roles: self.for_roles.clone() }
    }

    pub(super) async fn connect(&self, export_id: Uuid) -> Result<(tokio_postgres::Client, DatabaseConnection), Failure> {
        let database = self.database.named(&format!("exportbox export {export_id}"));
        database.connect().await.map_err(|error| classify::failure(&error, Phase::Connect))
    }

    pub(super) fn database(&self) -> &DatabaseUrl {
        &self.database
    }

    /// End a query that a lost attempt left running. True: it was there. A backend with another start is a stranger's and stays.
    ///
    /// # Errors
    /// When the source cannot be asked.
    pub async fn end_backend(&self, pid: i32, started_at: DateTime<Utc>) -> Result<bool, Failure> {
        // Which login ran it is not noted; each may end its own.
        for database in std::iter::once(&self.database).chain(self.for_roles.values()) {
            if end_backend(database, pid, started_at).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

async fn end_backend(database: &DatabaseUrl, pid: i32, started_at: DateTime<Utc>) -> Result<bool, Failure> {
    let asking = async {
        let (client, connection) = database.named("exportbox end query").connect().await?;
        let connection = tokio::spawn(connection);
        let ended = client.query_opt(sql::END_BACKEND, &[&pid, &started_at]).await?;
        drop(client);
        // The connection's own errors are of no interest once the answer is here.
        let _ = connection.await;
        Ok::<bool, tokio_postgres::Error>(ended.is_some_and(|row| row.get("ended")))
    };
    match tokio::time::timeout(Duration::from_secs(10), asking).await {
        Ok(ended) => ended.map_err(|error| classify::failure(&error, Phase::Connect)),
        Err(_) => Err(classify::unreachable("the source did not answer within 10 s")),
    }
}
