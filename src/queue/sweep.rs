//! What losing attempts may have left in the store.

use uuid::Uuid;

use super::{Queue, QueueError};
use crate::job::LeaseToken;
use crate::sql;

/// Where a losing attempt may have stored something.
#[derive(Debug, Clone)]
pub struct Unswept {
    /// The attempt.
    pub token: LeaseToken,
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
        Ok(rows
            .iter()
            .map(|row| Unswept {
                token: LeaseToken(row.get::<_, Uuid>("lease_token")),
                bucket: row.get("bucket"),
                key: row.get("object_key"),
                upload_id: row.get("upload_id"),
            })
            .collect())
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
