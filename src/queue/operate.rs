//! What people order. The database's functions do it, and record who asked.

use serde_json::Value;
use uuid::Uuid;

use super::{Queue, QueueError};
use crate::sql;

impl Queue {
    /// Stop an export and its mails. Returns what happened: `cancelled`, `cancelling` or `nothing to cancel`.
    ///
    /// # Errors
    /// `Refused` when there is no such export or it is not the caller's; or why the database cannot be asked.
    pub async fn cancel(&self, export_id: Uuid) -> Result<String, QueueError> {
        let row = self.query_opt(sql::CANCEL, &[&export_id]).await?;
        Ok(row.map(|row| row.get("said")).unwrap_or_default())
    }

    /// Give the dead and cancelled jobs of an export a fresh start. Returns how many.
    ///
    /// # Errors
    /// As `cancel`.
    pub async fn requeue(&self, export_id: Uuid) -> Result<i32, QueueError> {
        let row = self.query_opt(sql::REQUEUE, &[&export_id]).await?;
        Ok(row.map(|row| row.get("jobs")).unwrap_or_default())
    }

    /// Erase an address. Returns what was touched, or with `dry_run` what would be.
    ///
    /// # Errors
    /// `Refused` when it is no address or under a legal hold; or why the database cannot be asked.
    pub async fn erase(&self, address: &str, reason: Option<&str>, dry_run: bool) -> Result<Value, QueueError> {
        let row = self.query_opt(sql::ERASE, &[&address, &reason, &dry_run]).await?;
        Ok(row.map(|row| row.get("said")).unwrap_or_default())
    }
}
