//! The bookkeeping connection, and the one way in which statements are run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Timeouts};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::ask::Asked;
use super::complete::Completions;
use super::cursor::Cursors;
use super::prune::Retention;
use super::{QueueError, migrate};
use crate::database::{ConnectionLimits, DatabaseUrl};
use crate::sql;

/// How long whoever starts waits for a migration.
const MIGRATION: Duration = Duration::from_secs(60);

/// A worker asks the same few short statements all the time, and each finds its rows by an index whatever it is asked with. Planned once, and
/// never to read a whole table because that was empty a minute ago: planning a claim takes longer than the claim.
const STEADY: &str = " -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off";

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
    /// Hold a mail that may have been sent instead of sending it again.
    pub hold_unknown: bool,
    /// Most exports at once over all processes; none: no limit.
    pub source_slots: Option<i32>,
    /// How long what is final is kept.
    pub retention: Retention,
    /// Connections for bookkeeping: with one, what is claimed waits for what is settled.
    pub connections: usize,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            lease: Duration::from_secs(90),
            export_timeout: Duration::from_secs(3600),
            delivery_timeout: Duration::from_secs(300),
            export_attempts: 5,
            delivery_attempts: 8,
            hold_unknown: false,
            source_slots: None,
            retention: Retention::default(),
            connections: 1,
        }
    }
}

/// The job tables as one process sees them. A connection or two: every call is one short statement (I3).
#[derive(Clone)]
pub struct Queue {
    pool: Pool,
    database: DatabaseUrl,
    /// This process, made new at each start.
    pub(super) worker: String,
    pub(super) policy: Policy,
    cursors: Arc<Mutex<Cursors>>,
    completions: Arc<Completions>,
    pub(super) asked: Arc<Asked>,
}

pub(super) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn patience(lease: Duration) -> Duration {
    (lease / 2).clamp(Duration::from_secs(2), Duration::from_secs(45))
}

impl Queue {
    /// A queue for a process that works. Connects lazily.
    pub fn new(database: &DatabaseUrl, worker: String, policy: Policy) -> Queue {
        Queue::with_options(database, worker, policy, STEADY)
    }

    /// A queue for a command of people, who ask each thing once. Connects lazily.
    pub fn for_people(database: &DatabaseUrl, name: String) -> Queue {
        Queue::with_options(database, name, Policy::default(), "")
    }

    fn with_options(database: &DatabaseUrl, worker: String, policy: Policy, more: &str) -> Queue {
        // Bookkeeping is a matter of milliseconds: what takes longer waits for somebody's lock, and everything behind it would wait, too. The
        // mark at the end shows whether a pooler in between has lost the options. With one that is known, `sql/admin/limits.sql` sets the limits.
        // Each statement ends by itself before this process loses patience: what is sent together goes on without the one that was held up, and
        // nothing is claimed by a connection that was given up.
        let patience = patience(policy.lease);
        let (statement, lock) = (ms(patience * 2 / 3).min(30_000), ms(patience / 3).min(10_000));
        let options = format!("-c statement_timeout={statement}ms -c lock_timeout={lock}ms -c exportbox.direct=on{more}");
        let named = database.named(&format!("exportbox {worker}"));
        let (config, tls) = if database.is_pooled() { named } else { named.with_options(&options).pinned() }.parts();
        let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let seconds = |s| Some(Duration::from_secs(s));
        let pool = Pool::builder(manager)
            .max_size(policy.connections)
            .timeouts(Timeouts { wait: seconds(30), create: seconds(10), recycle: seconds(5) })
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .build()
            .expect("a runtime is set, which is all that building can miss");
        let (cursors, completions, asked) = (Arc::default(), Arc::default(), Arc::default());
        Queue { pool, database: database.clone(), worker, policy, cursors, completions, asked }
    }

    /// This process' name in the tables.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// The rules this process claims by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What this process remembers of its cursors. Nobody panics while holding it, and a hint would do no harm if they did.
    pub(super) fn cursors(&self) -> MutexGuard<'_, Cursors> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn completions(&self) -> &Completions {
        &self.completions
    }

    pub(super) fn pool_status(&self) -> deadpool_postgres::Status {
        self.pool.status()
    }

    pub(super) async fn connection(&self) -> Result<Object, QueueError> {
        Ok(self.pool.get().await?)
    }

    /// Run one statement.
    pub(super) async fn query(&self, statement: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, QueueError> {
        let connection = self.connection().await?;
        let answer = tokio::time::timeout(self.patience(), self.ask(&connection, statement, params)).await;
        match answer {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(self.give_up(connection)),
        }
    }

    /// Whether a pooler in transaction mode stands in between.
    pub(super) fn is_pooled(&self) -> bool {
        self.database.is_pooled()
    }

    /// A server that has stopped answering while its network lives (frozen, or behind a stuck pooler) is away like any other. Its connection
    /// owes an answer, and goes; what it still runs is cancelled, should the server hear that.
    pub(super) fn give_up(&self, connection: Object) -> QueueError {
        let (connection, database) = (Object::take(connection), self.database.clone());
        tokio::spawn(async move {
            let _ = tokio::time::timeout(Duration::from_secs(5), database.cancel(&connection.cancel_token())).await;
        });
        QueueError::Unavailable("no answer in time".into())
    }

    /// How long an answer is waited for: what comes after half a lease is of no use any more. Longer than the server's own limits, so that it
    /// ends only what hangs outside of a living server.
    pub(super) fn patience(&self) -> Duration {
        patience(self.policy.lease)
    }

    /// The same for statements that return one row or none.
    pub(super) async fn query_opt(&self, statement: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, QueueError> {
        Ok(self.query(statement, params).await?.into_iter().next())
    }

    /// Refuse a schema that is missing, older or newer than this program. Waits for a migration that is under way.
    ///
    /// # Errors
    /// `Schema` with the command that mends it; or why the database cannot be asked.
    pub async fn check_schema(&self) -> Result<(), QueueError> {
        let begun = Instant::now();
        loop {
            // In the midst of a migration the schema may be there without the grants.
            let error = match self.read_schema().await {
                Err(error @ (QueueError::Schema(_) | QueueError::Privilege(_))) => error,
                looked => return looked,
            };
            let row = self.query_opt(sql::MIGRATING, &[&migrate::LOCK]).await?;
            if begun.elapsed() > MIGRATION || !row.is_some_and(|row| row.get("migrating")) {
                // It may have ended between the two cursors.
                return self.read_schema().await.map_err(|_| error);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What a process asks before it works, in one round trip: refuses a schema that is missing, older or newer than this program, after a
    /// migration that is under way, and a pooler that nobody has told of. Returns how many connections there are for this login.
    ///
    /// # Errors
    /// As `check_schema` and `limits`.
    pub async fn arrive(&self) -> Result<ConnectionLimits, QueueError> {
        let connection = self.connection().await?;
        let asking = async { tokio::join!(self.ask(&connection, sql::SCHEMA_VERSIONS, &[]), self.ask(&connection, sql::CONNECTIONS, &[])) };
        let Ok((versions, limits)) = tokio::time::timeout(self.patience(), asking).await else {
            return Err(self.give_up(connection));
        };
        drop(connection);
        match versions.map(|rows| migrate::check_versions(&migrate::history(&rows))) {
            Ok(Ok(())) => self.limits_from(&limits?),
            _ => {
                self.check_schema().await?;
                self.limits().await
            }
        }
    }

    async fn read_schema(&self) -> Result<(), QueueError> {
        migrate::check_versions(&migrate::history(&self.query(sql::SCHEMA_VERSIONS, &[]).await?))
    }

    /// How many connections there are for this login, and how many are in use. Refuses a pooler that nobody has told of.
    ///
    /// # Errors
    /// `Pooler`; or why the database cannot be asked.
    pub async fn limits(&self) -> Result<ConnectionLimits, QueueError> {
        self.limits_from(&self.query(sql::CONNECTIONS, &[]).await?)
    }

    fn limits_from(&self, rows: &[Row]) -> Result<ConnectionLimits, QueueError> {
        let row = rows.first().ok_or_else(|| QueueError::Statement("no row of limits".into()))?;
        if !self.is_pooled() && !row.get::<_, bool>("is_direct") {
            return Err(QueueError::Pooler("the session did not get its startup options".into()));
        }
        Ok(ConnectionLimits::from_row(row))
    }
}
