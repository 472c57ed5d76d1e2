//! The connections of one process to the job tables, and the one way in which statements are run over them.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, RecyclingMethod, Timeouts};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::statement::Asked;
use super::{DatabaseError, DatabaseUrl, ms};

/// A worker runs the same few short statements again and again, and each finds its rows by an index whatever its parameters are. So each is planned
/// once, because planning a claim takes longer than the claim; and never with a full read of a table only because that was empty when it was planned.
const STEADY: &str = " -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off";

/// The connections of one process to the job tables: one or two, opened when they are needed. Every call is one short statement (I3).
#[derive(Clone)]
pub struct Pool {
    connections: deadpool_postgres::Pool,
    database: DatabaseUrl,
    /// This process, made new at each start.
    name: Arc<str>,
    patience: Duration,
    pub(super) asked: Arc<Asked>,
}

impl Pool {
    /// For a process that works, under a lease of this length and with so many connections at most. Connects lazily.
    pub fn for_worker(database: &DatabaseUrl, name: String, lease: Duration, most: usize) -> Pool {
        Pool::with_options(database, name, lease, most, STEADY)
    }

    /// For a command of people, who ask each thing once. Connects lazily.
    pub fn for_people(database: &DatabaseUrl, name: String) -> Pool {
        Pool::with_options(database, name, Duration::from_secs(90), 1, "")
    }

    fn with_options(database: &DatabaseUrl, name: String, lease: Duration, most: usize, more: &str) -> Pool {
        // Bookkeeping takes milliseconds. A statement that takes longer waits for somebody's lock, and everything behind it would wait, too: so each
        // has a time limit on the server. It is shorter than our own patience, so that statements that are sent together go on without the one that
        // waited, and so that a connection that was given up claims nothing. The last setting shows whether a pooler has dropped the options;
        // behind a pooler that is known, each transaction sets the limits itself.
        let patience = (lease / 2).clamp(Duration::from_secs(2), Duration::from_secs(45));
        let (statement, lock) = (ms(patience * 2 / 3).min(30_000), ms(patience / 3).min(10_000));
        let options = format!("-c statement_timeout={statement}ms -c lock_timeout={lock}ms -c exportbox.direct=on{more}");
        let named = database.named(&format!("exportbox {name}"));
        let (config, tls) = if database.is_pooled() { named } else { named.with_options(&options).pinned() }.parts();
        let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let seconds = |s| Some(Duration::from_secs(s));
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(most)
            .timeouts(Timeouts { wait: seconds(30), create: seconds(10), recycle: seconds(5) })
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .build()
            .expect("a runtime is set, which is all that building can miss");
        Pool { connections, database: database.clone(), name: name.into(), patience, asked: Arc::default() }
    }

    /// This process' name in the tables.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connections that are open, and those that are in use.
    pub fn usage(&self) -> (usize, usize) {
        let status = self.connections.status();
        (status.size, status.size.saturating_sub(status.available))
    }

    /// Whether a pooler in transaction mode stands in between.
    pub(crate) fn is_pooled(&self) -> bool {
        self.database.is_pooled()
    }

    pub(crate) async fn connection(&self) -> Result<Object, DatabaseError> {
        Ok(self.connections.get().await?)
    }

    /// Run one statement.
    pub(crate) async fn query(&self, statement: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, DatabaseError> {
        let connection = self.connection().await?;
        let answer = tokio::time::timeout(self.patience(), self.ask(&connection, statement, params)).await;
        match answer {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(self.give_up(connection)),
        }
    }

    /// The same for statements that return one row or none.
    pub(crate) async fn query_opt(&self, statement: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, DatabaseError> {
        Ok(self.query(statement, params).await?.into_iter().next())
    }

    /// How long to wait for an answer: one that comes after half a lease is of no use. It is longer than the server's own limits, so it ends only
    /// what hangs outside a working server.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// A server that does not answer although its network works (it is frozen, or behind a pooler that hangs) counts as away. The connection still
    /// owes an answer, so it is dropped; and its statement is cancelled, if the server can still be reached.
    pub(crate) fn give_up(&self, connection: Object) -> DatabaseError {
        let (connection, database) = (Object::take(connection), self.database.clone());
        tokio::spawn(async move {
            let _ = tokio::time::timeout(Duration::from_secs(5), database.cancel(&connection.cancel_token())).await;
        });
        DatabaseError::Unavailable("no answer in time".into())
    }
}
