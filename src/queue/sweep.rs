//! What losing attempts may have left: a query on the source, and objects in the store.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use uuid::Uuid;

use super::Queue;
use super::next_due::duration;
use crate::database::{DatabaseError, ms};
use crate::job::{Backend, LeaseToken};
use crate::sql;

/// What a losing attempt may have left.
#[derive(Debug, Clone)]
pub struct Unswept {
    /// The attempt.
    pub token: LeaseToken,
    /// The query of a lost worker: while it runs it may store more.
    pub query: Option<LostQuery>,
    /// Where it may have stored something.
    pub stored: Option<StoredAt>,
}

/// A query that may still run though its worker is lost.
#[derive(Debug, Clone)]
pub struct LostQuery {
    /// The name of the source that it runs on.
    pub source: String,
    /// Its transactions there.
    pub backends: Vec<Backend>,
}

/// Where an attempt stores.
#[derive(Debug, Clone)]
pub struct StoredAt {
    /// Its bucket.
    pub bucket: String,
    /// The key of its first file.
    pub key: String,
    /// Its multipart upload, if it began one.
    pub upload_id: Option<String>,
}

/// How long after the end of a lost attempt it may still store something: by a query that could not be ended, or a request that was delayed.
const MAY_STILL_ARRIVE: Duration = Duration::from_secs(600);

impl Queue {
    /// A batch of attempts that have lost their lease or failed and must be swept now, in no order; and how long until the next one must be. `None`:
    /// no other one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn unswept(&self) -> Result<(Vec<Unswept>, Option<Duration>), DatabaseError> {
        let rows = self.pool.query(sql::UNSWEPT, &[]).await?;
        let place = |row: &Row| {
            let (bucket, key) = row.get::<_, Option<String>>("bucket").zip(row.get("object_key"))?;
            Some(StoredAt { bucket, key, upload_id: row.get("upload_id") })
        };
        let query = |row: &Row| {
            let pids: Vec<i32> = row.get::<_, Option<_>>("pids")?;
            let starts: Vec<DateTime<Utc>> = row.get::<_, Option<_>>("starts")?;
            let backends = pids.into_iter().zip(starts).map(|(pid, xact_start)| Backend { pid, xact_start });
            Some(LostQuery { source: row.get::<_, Option<_>>("source")?, backends: backends.collect() })
        };
        let attempt = |row: &Row| {
            let token = LeaseToken(row.get::<_, Option<Uuid>>("lease_token")?);
            Some(Unswept { token, query: query(row), stored: place(row) })
        };
        let next = rows.first().and_then(|row| duration(row, "sleep_ms"));
        Ok((rows.iter().filter_map(attempt).collect(), next))
    }

    /// This attempt is swept. A lost one is swept once more later, because it may still store something.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn record_sweep(&self, token: LeaseToken) -> Result<(), DatabaseError> {
        self.pool.query(sql::RECORD_SWEEP, &[&token.0, &ms(MAY_STILL_ARRIVE)]).await.map(drop)
    }

    /// This attempt could not be swept: it is due again after this time.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn postpone_sweep(&self, token: LeaseToken, delay: Duration) -> Result<(), DatabaseError> {
        self.pool.query(sql::POSTPONE_SWEEP, &[&token.0, &ms(delay)]).await.map(drop)
    }

    /// This process went on after the lease was gone, so the attempt must be swept once more. An attempt that completed stays as it is.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn reopen_sweep(&self, token: LeaseToken) -> Result<(), DatabaseError> {
        self.pool.query(sql::REOPEN_SWEEP, &[&token.0]).await.map(drop)
    }
}
