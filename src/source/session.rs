//! One export's connection and transaction.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client, Statement};
use uuid::Uuid;

use super::Source;
use super::classify::{self, Phase};
use super::idle::Connection;
use super::snapshot::Snapshot;
use crate::job::{Backend, Column, ExportJob, Failure, FailureClass, Verdict};
use crate::sql;

/// An open transaction on the source, set up for one export. Dropping it closes the connection, which rolls back.
pub struct Session {
    pub(super) client: Client,
    pub(super) cancel: CancelToken,
    pub(super) source: Source,
    /// The login's own search path.
    path: String,
    role: String,
    /// Its connection may be used again.
    is_reusable: bool,
    opened: Instant,
    serving: Option<JoinHandle<()>>,
    /// Its transaction on the server.
    pub backend: Backend,
    /// The instant whose data the snapshot shows; on a replica its last replayed transaction.
    pub as_of: DateTime<Utc>,
}

/// How long a connection that nobody has used for a while may take to answer.
const ALIVE: Duration = Duration::from_secs(5);
/// How long the server may take to obey a cancel before its backend is terminated.
const OBEY: Duration = Duration::from_secs(5);

/// What `discard all` does, but for plans and prepared statements: what the role's own functions have planned they may keep, and the driver has
/// statements of its own, by name.
const CLEAN: &str = "close all; reset session authorization; reset all; unlisten *; select pg_catalog.pg_advisory_unlock_all();
    discard sequences; discard temp";

/// Whether the connection of this export may be used again. Behind a pooler the server's connections are others' next. What somebody sent ad hoc may
/// have left anything.
fn is_reusable(source: &Source, job: &ExportJob) -> bool {
    job.report.is_some() && !source.database().is_pooled()
}

/// Whether the connection is no more, rather than what was asked of it wrong.
fn is_gone(error: &tokio_postgres::Error) -> bool {
    error.code().is_none_or(|code| code.code().starts_with("57P") || code.code().starts_with("08"))
}

impl Session {
    /// Connect, open the snapshot, become the export's role and set its parameters.
    ///
    /// # Errors
    /// Why not, with what shall become of the job.
    pub async fn open(source: &Source, export_id: Uuid, job: &ExportJob, time_left: Duration) -> Result<Session, Failure> {
        Session::open_at(source, export_id, job, time_left, None).await
    }

    pub(super) async fn open_at(
        source: &Source,
        export_id: Uuid,
        job: &ExportJob,
        time_left: Duration,
        snapshot: Option<&Snapshot>,
    ) -> Result<Session, Failure> {
        let source = source.of_role(&job.run_as);
        if is_reusable(&source, job)
            && let Some(connection) = source.idle.take(&job.run_as)
        {
            let opening = Session::begin(&source, connection, export_id, job, time_left, snapshot);
            match tokio::time::timeout(ALIVE, opening).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(error)) if !is_gone(&error) => return Err(classify::failure(&error, Phase::Open)),
                // Ended by its server, or by something in between, while nobody used it.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        source.idle.close_one().await;
        let connection = source.connect().await?;
        let session = Session::begin(&source, connection, export_id, job, time_left, snapshot).await;
        session.map_err(|error| classify::failure(&error, Phase::Open))
    }

    async fn begin(
        source: &Source,
        Connection { client, serving, opened }: Connection,
        export_id: Uuid,
        job: &ExportJob,
        time_left: Duration,
        snapshot: Option<&Snapshot>,
    ) -> Result<Session, tokio_postgres::Error> {
        let cancel = client.cancel_token();
        let (names, values): (Vec<String>, Vec<Option<&str>>) =
            job.params.iter().map(|(name, value)| (name.clone(), value.as_deref())).unzip();
        // 0 would mean no limit at all.
        let timeout_ms = time_left.as_millis().max(1).min(i32::MAX as u128).to_string();
        let name = format!("exportbox export {export_id}");
        // Unnamed, like all that is asked here: behind a pooler a named statement could outlive the transaction on a connection of others.
        let params = sql::typed(sql::OPEN_EXPORT, &[&job.run_as, &timeout_ms, &names, &values, &name]);
        // Sent together, in this order.
        let begin = match snapshot {
            // guard: one snapshot
            Some(snapshot) => format!("{};\n{}", sql::BEGIN_EXPORT, snapshot.take_over()),
            None => sql::BEGIN_EXPORT.to_string(),
        };
        let (begun, path, row) = tokio::join!(
            client.batch_execute(&begin),
            client.query_typed_one(sql::OWN_PATH, &[]),
            client.query_typed_one(sql::OPEN_EXPORT, &params)
        );
        begun?;
        let path = path?.get("path");
        let row = row?;
        let backend = Backend { pid: row.get("backend_pid"), xact_start: row.get("xact_start") };
        let as_of = row.get("as_of");
        let (is_reusable, role) = (is_reusable(source, job), job.run_as.clone());
        let (source, serving) = (source.clone(), Some(serving));
        Ok(Session { client, cancel, source, path, role, is_reusable, opened, serving, backend, as_of })
    }

    /// Check that the text is one statement by itself, and see its columns. What parses alone cannot break out of the parentheses of COPY.
    ///
    /// # Errors
    /// The query's own fault, most likely.
    pub async fn describe(&self, query: &str) -> Result<Vec<Column>, Failure> {
        let failed = |error: tokio_postgres::Error| classify::failure(&error, Phase::Query);
        let path = sql::typed(sql::QUERY_PATH, &[&self.path]);
        let (path, statement) = tokio::join!(self.client.query_typed(sql::QUERY_PATH, &path), self.client.prepare(query));
        path.map_err(failed)?;
        let statement: Statement = statement.map_err(failed)?;
        if !statement.params().is_empty() {
            let sentence = "The query has a $ placeholder; read parameters with exportbox.param('name').";
            return Err(Failure::new(FailureClass::Query, Verdict::Bury, sentence));
        }
        let columns = statement.columns().iter().map(|column| Column {
            name: column.name().to_string(),
            data_type: column.type_().clone(),
            origin: column.table_oid().zip(column.column_id()),
        });
        Ok(columns.collect())
    }

    /// The first rows of a query that has been described, as objects by column name.
    ///
    /// # Errors
    /// The query's own fault, most likely.
    pub async fn first_rows(&self, query: &str, rows: u32) -> Result<Vec<Value>, Failure> {
        let first = format!("select row_to_json(line.*) from (\n{query}\n) as line limit {rows}");
        let rows = self.client.query(&first, &[]).await.map_err(|error| classify::failure(&error, Phase::Query))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// End the transaction after the work is done. The connection is closed, or left for the next export of the same report's role.
    pub async fn close(mut self) {
        let serving = self.serving.take();
        if self.is_reusable
            && let Some(serving) = serving
        {
            // Rolled back, settings are as they were at the login; what outlives a transaction is discarded.
            let cleaning = async { tokio::join!(self.client.batch_execute("rollback"), self.client.batch_execute(CLEAN)) };
            if let Ok((Ok(()), Ok(()))) = tokio::time::timeout(ALIVE, cleaning).await {
                self.source.idle.put(self.role, Connection { client: self.client, serving, opened: self.opened });
            }
            return;
        }
        // Closing rolls back; the server does it even if this message is lost.
        // guard: no commit
        drop(self.client);
        if let Some(serving) = serving {
            let _ = tokio::time::timeout(Duration::from_secs(5), serving).await;
        }
    }

    /// Ask the server to stop what runs. Best effort: `end` makes sure.
    pub async fn interrupt(&self) {
        // Whatever comes of it, `end` is called next.
        let _ = tokio::time::timeout(OBEY, self.source.database().cancel(&self.cancel)).await;
    }

    /// Cancel what runs, wait until the backend has rolled back, and if it does not, terminate it.
    pub async fn end(self) {
        let (source, cancel, backend) = (self.source.clone(), self.cancel.clone(), self.backend);
        let (client, serving) = self.into_parts();
        // The cancel request is a message of its own protocol; RDS Proxy does not pass it on, so what follows does not rely on it.
        let asked = tokio::time::timeout(OBEY, source.database().cancel(&cancel)).await;
        drop(client);
        let Some(mut serving) = serving else { return };
        let obeyed = asked == Ok(true) && tokio::time::timeout(OBEY, &mut serving).await.is_ok();
        if !obeyed {
            serving.abort();
            match source.end_backend(backend).await {
                Ok(ended) => tracing::info!(backend.pid = backend.pid, ended, "terminated a query that did not obey a cancel"),
                Err(failure) => {
                    tracing::warn!(backend.pid = backend.pid, error.class = %failure.class, "could not end a query; its server notices within seconds that nobody listens")
                }
            }
        }
    }

    fn into_parts(mut self) -> (Client, Option<JoinHandle<()>>) {
        let serving = self.serving.take();
        (self.client, serving)
    }
}
