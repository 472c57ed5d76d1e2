//! What people order. The database's functions do it, and record who asked.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Admin;
use crate::database::{DatabaseError, ms};
use crate::sql;

/// Which jobs are meant. A field that is `None` excludes no job.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// A state that the verb starts from.
    pub state: Option<String>,
    /// `export` or `delivery`.
    pub kind: Option<String>,
    /// The report's name.
    pub report: Option<String>,
    /// Class of the last error.
    pub error_class: Option<String>,
    /// The role that asked.
    pub requested_by: Option<String>,
    /// Only jobs that have ended since then; for jobs that have not ended: only those that were created since then.
    pub since: Option<DateTime<Utc>>,
    /// And before then.
    pub until: Option<DateTime<Utc>>,
}

/// How many jobs something was done to, or would be.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Affected {
    /// Jobs.
    pub jobs: i64,
    /// Their exports; one whose jobs are in two batches counts twice.
    pub exports: i64,
    /// There may be more that the filter names.
    #[serde(skip_serializing)]
    more: bool,
    /// The end of the time that the filter covers: later jobs are not meant.
    until: DateTime<Utc>,
    /// Nothing was done.
    pub dry_run: bool,
}

impl Admin {
    /// Stop an export and its mails. Returns what happened: `cancelled`, `cancelling` or `nothing to cancel`.
    ///
    /// # Errors
    /// `Refused` when there is no such export or it is not the caller's; or why the database cannot be asked.
    pub async fn cancel(&self, export_id: Uuid) -> Result<String, DatabaseError> {
        let row = self.pool.query_opt(sql::CANCEL, &[&export_id]).await?;
        Ok(row.map(|row| row.get("said")).unwrap_or_default())
    }

    /// Give the dead and cancelled jobs of an export a fresh start. Returns how many.
    ///
    /// # Errors
    /// As `cancel`.
    pub async fn requeue(&self, export_id: Uuid) -> Result<i32, DatabaseError> {
        let row = self.pool.query_opt(sql::REQUEUE, &[&export_id]).await?;
        Ok(row.map(|row| row.get("jobs")).unwrap_or_default())
    }

    /// Put what waits of an export before or behind others. Returns how many jobs that moved.
    ///
    /// # Errors
    /// As `cancel`; or the priority is out of range.
    pub async fn set_priority(&self, export_id: Uuid, priority: i32) -> Result<i32, DatabaseError> {
        let row = self.pool.query_opt(sql::SET_PRIORITY, &[&export_id, &priority]).await?;
        Ok(row.map(|row| row.get("jobs")).unwrap_or_default())
    }

    /// Start nothing more of `all`, `exports`, `deliveries`, `report:NAME` or `source:NAME`. Returns whether that is new.
    ///
    /// # Errors
    /// `Refused` when there is nothing of that name; or why the database cannot be asked.
    pub async fn pause(&self, scope: &str, reason: Option<&str>) -> Result<bool, DatabaseError> {
        let row = self.pool.query_opt(sql::PAUSE, &[&scope, &reason]).await?;
        Ok(row.is_some_and(|row| row.get("is_new")))
    }

    /// End a pause. Returns whether there was one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn resume(&self, scope: &str) -> Result<bool, DatabaseError> {
        let row = self.pool.query_opt(sql::RESUME, &[&scope]).await?;
        Ok(row.is_some_and(|row| row.get("was_paused")))
    }

    /// Mail a new link to the file of a completed export, to one of its recipients or to all. Returns how many mails.
    ///
    /// # Errors
    /// `Refused` when there is nothing to link to, nobody to send it to, or it was done too often; as `cancel`.
    pub async fn relink(&self, export_id: Uuid, recipient: Option<&str>) -> Result<i32, DatabaseError> {
        let row = self.pool.query_opt(sql::RELINK, &[&export_id, &recipient]).await?;
        Ok(row.map(|row| row.get("mails")).unwrap_or_default())
    }

    /// Cancel what a filter names, a batch and a transaction at a time. `at_most`: no more than so many.
    ///
    /// # Errors
    /// `Usage` when the filter names everything; or why the database cannot be asked. What was done by then stays done.
    pub async fn cancel_where(&self, filter: &Filter, at_most: Option<i32>, dry_run: bool) -> Result<Affected, DatabaseError> {
        self.in_batches(sql::CANCEL_WHERE, filter, at_most, dry_run, &[]).await
    }

    /// Requeue what a filter names, in the same way; each job starts somewhere within `spread`.
    ///
    /// # Errors
    /// As `cancel_where`.
    pub async fn requeue_where(
        &self,
        filter: &Filter,
        at_most: Option<i32>,
        dry_run: bool,
        spread: Duration,
    ) -> Result<Affected, DatabaseError> {
        self.in_batches(sql::REQUEUE_WHERE, filter, at_most, dry_run, &[&ms(spread)]).await
    }

    async fn in_batches(
        &self,
        statement: &'static str,
        filter: &Filter,
        at_most: Option<i32>,
        dry_run: bool,
        more: &[&(dyn ToSql + Sync)],
    ) -> Result<Affected, DatabaseError> {
        let mut until = filter.until;
        let mut left = at_most;
        let mut total: Option<Affected> = None;
        loop {
            let mut params: Vec<&(dyn ToSql + Sync)> =
                vec![&filter.state, &filter.kind, &filter.report, &filter.error_class, &filter.requested_by, &filter.since];
            params.extend([&until as &(dyn ToSql + Sync), &left, &dry_run]);
            params.extend(more);
            let row = self.pool.query_opt(statement, &params).await?;
            let said: Value = row.map(|row| row.get("said")).unwrap_or_default();
            let batch: Affected = serde_json::from_value(said).map_err(|_| DatabaseError::Statement("an unknown answer".into()))?;
            let sum = total.map_or(batch, |sum| Affected { jobs: sum.jobs + batch.jobs, exports: sum.exports + batch.exports, ..batch });
            total = Some(sum);
            // All batches have the end of the first one: jobs that die or are requested meanwhile are not meant.
            until = Some(batch.until);
            left = left.map(|left| left.saturating_sub(i32::try_from(batch.jobs).unwrap_or(i32::MAX)));
            if !batch.more || batch.jobs == 0 || left.is_some_and(|left| left <= 0) {
                return Ok(sum);
            }
        }
    }

    /// Dead letters, the newest first; the filter's state is dead.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn dead(&self, export_id: Option<Uuid>, filter: &Filter, how_many: i64) -> Result<Vec<Value>, DatabaseError> {
        let params: [&(dyn ToSql + Sync); 8] =
            [&export_id, &filter.kind, &filter.report, &filter.error_class, &filter.requested_by, &filter.since, &filter.until, &how_many];
        Ok(self.pool.query(sql::LIST_DEAD, &params).await?.iter().map(|row| row.get(0)).collect())
    }

    /// Erase an address. Returns what was touched, or with `dry_run` what would be.
    ///
    /// # Errors
    /// `Refused` when it is no address or under a legal hold; or why the database cannot be asked.
    pub async fn erase(&self, address: &str, reason: Option<&str>, dry_run: bool) -> Result<Value, DatabaseError> {
        let row = self.pool.query_opt(sql::ERASE, &[&address, &reason, &dry_run]).await?;
        Ok(row.map(|row| row.get("said")).unwrap_or_default())
    }
}
