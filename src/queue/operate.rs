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

    /// Put what waits of an export before or behind others. Returns how many jobs that moved.
    ///
    /// # Errors
    /// As `cancel`; or the priority is out of range.
    pub async fn set_priority(&self, export_id: Uuid, priority: i32) -> Result<i32, QueueError> {
        let row = self.query_opt(sql::SET_PRIORITY, &[&export_id, &priority]).await?;
        Ok(row.map(|row| row.get("jobs")).unwrap_or_default())
    }

    /// Start nothing more of `all`, `exports`, `deliveries`, `report:NAME` or `source:NAME`. Returns whether that is new.
    ///
    /// # Errors
    /// `Refused` when there is nothing of that name; or why the database cannot be asked.
    pub async fn pause(&self, scope: &str, reason: Option<&str>) -> Result<bool, QueueError> {
        let row = self.query_opt(sql::PAUSE, &[&scope, &reason]).await?;
        Ok(row.is_some_and(|row| row.get("is_new")))
    }

    /// End a pause. Returns whether there was one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn resume(&self, scope: &str) -> Result<bool, QueueError> {
        let row = self.query_opt(sql::RESUME, &[&scope]).await?;
        Ok(row.is_some_and(|row| row.get("was_paused")))
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
