//! Retention: what is final and old enough is deleted.

use std::time::Duration;

use serde_json::Value;

use super::Admin;
use crate::database::{DatabaseError, ms};
use crate::sql;

/// How long what is final is kept. None: for ever.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retention {
    /// Exports whose jobs are all completed.
    pub completed: Option<Duration>,
    /// Exports with a dead job.
    pub dead: Option<Duration>,
    /// Exports with a cancelled job.
    pub cancelled: Option<Duration>,
    /// Their files are left to the bucket's lifecycle rule.
    pub leave_objects: bool,
}

impl Retention {
    /// Whether anything is ever deleted.
    pub fn prunes(&self) -> bool {
        self.completed.or(self.dead).or(self.cancelled).is_some()
    }
}

impl Admin {
    /// Delete a batch of what is old enough, or only say what would go. Returns the counts.
    ///
    /// # Errors
    /// `Refused` when no age is given; or why the database cannot be asked.
    pub async fn prune(&self, retention: &Retention, most: i32, dry_run: bool) -> Result<Value, DatabaseError> {
        let [completed, dead, cancelled] = [retention.completed, retention.dead, retention.cancelled].map(|age| age.map(ms));
        let row = self.pool.query_opt(sql::PRUNE, &[&completed, &dead, &cancelled, &!retention.leave_objects, &most, &dry_run]).await?;
        Ok(row.map(|row| row.get("said")).unwrap_or_default())
    }
}
