//! What losing attempts may have left: a query on the source, and objects in the store.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Queue, QueueError};
use crate::job::LeaseToken;
use crate::sql;

/// What a losing attempt may have left.
#[derive(Debug, Clone)]
pub struct Unswept {
    /// The attempt.
    pub token: LeaseToken,
    /// The server process of a lost worker's query, on the source: while it runs it may store more.
    pub backend: Option<(i32, DateTime<Utc>)>,
    /// Where it may have stored something.
    pub stored: Option<StoredAt>,
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

impl Queue {
    /// Attempts that lost and were not swept yet, oldest first, a batch at a time.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn unswept(&self) -> Result<Vec<Unswept>, QueueError> {
        let rows = self.query(sql::UNSWEPT, &[]).await?;
        let place = |row: &Row| {
            let (bucket, key) = row.get::<_, Option<String>>("bucket").zip(row.get("object_key"))?;
            Some(StoredAt { bucket, key, upload_id: row.get("upload_id") })
        };
        let attempt = |row: &Row| Unswept {
            token: LeaseToken(row.get::<_, Uuid>("lease_token")),
            backend: row.get::<_, Option<i32>>("backend_pid").zip(row.get("backend_start")),
            stored: place(row),
        };
        Ok(rows.iter().map(attempt).collect())
    }

    /// Nothing of this attempt is left.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn record_sweep(&self, token: LeaseToken) -> Result<(), QueueError> {
        self.query(sql::RECORD_SWEEP, &[&token.0]).await.map(drop)
    }

    /// This process went on after the lease was gone: sweep once more. Never touches an attempt that completed.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn reopen_sweep(&self, token: LeaseToken) -> Result<(), QueueError> {
        self.query(sql::REOPEN_SWEEP, &[&token.0]).await.map(drop)
    }
}
