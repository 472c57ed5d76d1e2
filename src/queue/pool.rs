//! The bookkeeping connection, and the one way in which statements are run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Timeouts};
use tokio::time::error::Elapsed;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::error::is_stale_plan;
use super::look::Looks;
use super::{QueueError, migrate};
use crate::database::DatabaseUrl;
use crate::sql;

/// The rules of claiming and giving up, from the settings.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How long a lease lives without a heartbeat.
    pub lease: Duration,
    /// The longest an export attempt may take unless its request says otherwise.
    pub export_timeout: Duration,
    /// The longest a delivery attempt may take.
    pub delivery_timeout: Duration,
    /// Attempts of an export before it is dead, unless its request says otherwise.
    pub export_attempts: i16,
    /// Attempts of a delivery before it is dead.
    pub delivery_attempts: i16,
    /// Leases that may expire before the job is dead.
    pub crash_limit: i16,
    /// Hold a mail that may have been sent instead of sending it again.
    pub hold_unknown: bool,
    /// Most exports at once over all processes; none: no limit.
    pub source_slots: Option<i32>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            lease: Duration::from_secs(90),
            export_timeout: Duration::from_secs(3600),
            delivery_timeout: Duration::from_secs(300),
            export_attempts: 5,
            delivery_attempts: 8,
            crash_limit: 3,
            hold_unknown: false,
            source_slots: None,
        }
    }
}

/// The job tables as one process sees them. One connection: every call is one short statement (I3).
#[derive(Clone)]
pub struct Queue {
    pool: Pool,
    /// This process, made new at each start.
    pub(super) worker: String,
    pub(super) policy: Policy,
    looks: Arc<Mutex<Looks>>,
}

pub(super) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A server that has stopped answering while its network lives (frozen, or behind a stuck pooler) is away like any other. Its connection owes an
/// answer, and goes.
pub(super) fn answered<T>(connection: Object, answer: Result<Result<T, tokio_postgres::Error>, Elapsed>) -> Result<T, QueueError> {
    match answer {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            drop(Object::take(connection));
            Err(QueueError::Unavailable("no answer in time".into()))
        }
    }
}

impl Queue {
    /// A queue for one process. Connects lazily.
    pub fn new(database: &DatabaseUrl, worker: String, policy: Policy) -> Queue {
        let (mut config, tls) = database.named(&format!("exportbox {worker}")).parts();
        // Bookkeeping is a matter of milliseconds: what takes longer waits for somebody's lock, and everything behind it would wait, too.
        let limits = "-c statement_timeout=30s -c lock_timeout=10s";
        let options = config.get_options().map_or(limits.to_string(), |own| format!("{limits} {own}"));
        config.options(options);
        let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let seconds = |s| Some(Duration::from_secs(s));
        let pool = Pool::builder(manager)
            .max_size(1)
            .timeouts(Timeouts { wait: seconds(30), create: seconds(10), recycle: seconds(5) })
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .build()
            .expect("a runtime is set, which is all that building can miss");
        Queue { pool, worker, policy, looks: Arc::default() }
    }

    /// This process' name in the tables.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// The rules this process claims by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What this process remembers of its looks. Nobody panics while holding it, and a hint would do no harm if they did.
    pub(super) fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn connection(&self) -> Result<Object, QueueError> {
        Ok(self.pool.get().await?)
    }

    /// Run one statement, prepared once per connection.
    pub(super) async fn query(&self, statement: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, QueueError> {
        let connection = self.connection().await?;
        let asking = async {
            let prepared = connection.prepare_cached(statement).await?;
            match connection.query(&prepared, params).await {
                Err(error) if is_stale_plan(&error) => {
                    connection.statement_cache.clear();
                    let prepared = connection.prepare_cached(statement).await?;
                    connection.query(&prepared, params).await
                }
                rows => rows,
            }
        };
        let answer = tokio::time::timeout(self.patience(), asking).await;
        answered(connection, answer)
    }

    /// How long an answer is waited for: what comes after half a lease is of no use any more. Longer than the server's own limits, so that it
    /// ends only what hangs outside of a living server.
    pub(super) fn patience(&self) -> Duration {
        (self.policy.lease / 2).clamp(Duration::from_secs(2), Duration::from_secs(45))
    }

    /// The same for statements that return one row or none.
    pub(super) async fn query_opt(&self, statement: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, QueueError> {
        Ok(self.query(statement, params).await?.into_iter().next())
    }

    /// Refuse a schema that is missing, older or newer than this program.
    ///
    /// # Errors
    /// `Schema` with the command that mends it; or why the database cannot be asked.
    pub async fn check_schema(&self) -> Result<(), QueueError> {
        let applied: Vec<i64> = self.query(sql::SCHEMA_VERSIONS, &[]).await?.iter().map(|row| i64::from(row.get::<_, i32>(0))).collect();
        migrate::check_versions(&applied)
    }
}
