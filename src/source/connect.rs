//! The server that queries run on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error};

use super::classify::{self, Phase};
use super::idle::{Connection, IdlePool};
use crate::database::{ConnectionLimits, DatabaseUrl};
use crate::job::{Backend, Failure, FailureClass, Verdict};
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
}

/// The source: where it is, and how to end what runs there.
#[derive(Debug, Clone)]
pub struct Source {
    database: DatabaseUrl,
    /// Logins of their own, by role.
    for_roles: Arc<HashMap<String, DatabaseUrl>>,
    /// One query at a time is ended over a connection of its own: a process never takes more than that one beside its slots.
    ending: Arc<tokio::sync::Mutex<()>>,
    /// It was said that this login may not end queries.
    said_powerless: Arc<AtomicBool>,
    /// Connections that can be used again.
    pub(super) idle: IdlePool,
}

impl Source {
    /// A source at this place.
    pub fn new(database: DatabaseUrl) -> Source {
        Source { database, for_roles: Arc::default(), ending: Arc::default(), said_powerless: Arc::default(), idle: IdlePool::default() }
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
        // guard: source of a role
        let database = self.for_roles.get(role).unwrap_or(&self.database).clone();
        Source { database, ..self.clone() }
    }

    /// A new connection. Its transactions say which export they are for.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let connecting = self.database.named("exportbox exports").connect().await;
        let (client, connection) = connecting.map_err(|error| classify::failure(&error, Phase::Connect))?;
        let serving = tokio::spawn(async move {
            // The client's calls report what goes wrong with the connection.
            let _ = connection.await;
        });
        Ok(Connection { client, serving, opened: Instant::now() })
    }

    pub(super) fn logins(&self) -> &HashMap<String, DatabaseUrl> {
        &self.for_roles
    }

    pub(super) fn database(&self) -> &DatabaseUrl {
        &self.database
    }

    /// End a query that a lost attempt left running, and wait until it is gone. True: it was there. A backend with another start is a stranger's
    /// and stays; so does one of another login, unless this one may end it.
    ///
    /// # Errors
    /// When the source cannot be asked, this login may not end it, or it has not ended within 10 s.
    pub async fn end_backend(&self, backend: Backend) -> Result<bool, Failure> {
        let _one_at_a_time = self.ending.lock().await;
        let mut ended = end_over(&self.database, backend).await;
        // Which login ran it is not noted; each may end its own.
        for database in self.for_roles.values() {
            if matches!(&ended, Ok(None)) || ended.as_ref().is_err_and(|failure| failure.class == FailureClass::Permission) {
                ended = end_over(database, backend).await;
            }
        }
        let powerless = match ended {
            Ok(Some(was_there)) => return Ok(was_there),
            Ok(None) => Failure::new(FailureClass::Permission, Verdict::Retry, "The daemon's login may not see whose query that is."),
            Err(failure) if failure.class == FailureClass::Permission => failure,
            Err(failure) => return Err(failure),
        };
        if !self.said_powerless.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                backend.pid = backend.pid,
                "this login may not end the queries that another login left running; use one login, or grant it pg_signal_backend and \
                 pg_read_all_stats"
            );
        }
        Err(powerless)
    }

    /// How many connections there are for this login, and how many are in use.
    ///
    /// # Errors
    /// When the source cannot be asked.
    pub async fn limits(&self) -> Result<ConnectionLimits, Failure> {
        let asking = over_own_connection(&self.database, "exportbox connections", async |client| {
            client.query_typed_opt(sql::CONNECTIONS, &[]).await
        });
        asking.await?.map(|row| ConnectionLimits::from_row(&row)).ok_or_else(|| classify::unreachable("it does not know its own login"))
    }
}

/// End a query over this login. `None`: it may not see whose it is.
async fn end_over(database: &DatabaseUrl, backend: Backend) -> Result<Option<bool>, Failure> {
    over_own_connection(database, "exportbox end query", async |client| {
        let params: [&(dyn ToSql + Sync); 2] = [&backend.pid, &backend.xact_start];
        let mut was_there = false;
        // A backend obeys at its next look; until then it may still write.
        while let Some(row) = client.query_typed_opt(sql::END_BACKEND, &sql::typed(sql::END_BACKEND, &params)).await? {
            if row.get::<_, Option<bool>>("ended").is_none() {
                return Ok(None);
            }
            was_there = true;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Some(was_there))
    })
    .await
}

/// Ask something over a connection of its own.
pub(super) async fn over_own_connection<T>(
    database: &DatabaseUrl,
    name: &str,
    ask: impl AsyncFnOnce(&Client) -> Result<T, Error>,
) -> Result<T, Failure> {
    let asking = async {
        let (client, connection) = database.named(name).connect().await?;
        let connection = tokio::spawn(connection);
        let answer = ask(&client).await?;
        drop(client);
        // The connection's own errors are of no interest once the answer is here.
        let _ = connection.await;
        Ok::<_, Error>(answer)
    };
    match tokio::time::timeout(Duration::from_secs(10), asking).await {
        Ok(Err(error)) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Err(Failure::new(FailureClass::Permission, Verdict::Retry, "The daemon's login lacks a privilege on the source."))
        }
        Ok(answer) => answer.map_err(|error| classify::failure(&error, Phase::Connect)),
        Err(_) => Err(classify::unreachable("the source did not answer, or the query did not end, within 10 s")),
    }
}
