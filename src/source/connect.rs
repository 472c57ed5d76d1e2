//! The server that queries run on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::classify::{self, Phase};
use crate::database::{DatabaseConnection, DatabaseUrl};
use crate::job::{Failure, FailureClass, Verdict};
use crate::sql;

/// The sources that this process serves, by name.
#[derive(Debug, Clone)]
pub struct Sources(Arc<BTreeMap<String, Source>>);

impl Sources {
    /// These sources.
    pub fn new(sources: impl IntoIterator<Item = (String, Source)>) -> Sources {
        Sources(Arc::new(sources.into_iter().collect()))
    }

    /// The source of this name.
    ///
    /// # Errors
    /// This process has none of that name: another may.
    pub fn named(&self, name: &str) -> Result<&Source, Failure> {
        self.0.get(name).ok_or_else(|| {
            let sentence = format!("This daemon has no source \"{name}\"; name it in EXPORTBOX_SOURCES, or run a daemon that does.");
            Failure::new(FailureClass::SourceConfig, Verdict::Postpone, sentence)
        })
    }

    /// End a query that a lost attempt left running, on whichever source it is: pid and start name one backend, and nobody else's is ended.
    ///
    /// # Errors
    /// When a source cannot be asked, and none of the others had it.
    pub async fn end_backend(&self, pid: i32, started_at: DateTime<Utc>) -> Result<bool, Failure> {
        let mut missed = None;
        for source in self.0.values() {
            match source.end_backend(pid, started_at).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(failure) => missed = Some(failure),
            }
        }
        missed.map_or(Ok(false), Err)
    }
}

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

    /// End a query that a lost attempt left running. True: it was there. A backend with another start is a stranger's and stays.
    ///
    /// # Errors
    /// When the source cannot be asked.
    pub async fn end_backend(&self, pid: i32, started_at: DateTime<Utc>) -> Result<bool, Failure> {
        let asking = async {
            let (client, connection) = self.database.named("exportbox end query").connect().await?;
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
}
