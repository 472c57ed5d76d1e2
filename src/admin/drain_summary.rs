//! What a process leaves for people who look later: how a drain ended, and what the mail provider said of its quota.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::ToSql;

use super::Admin;
use crate::database::{DatabaseError, ms};
use crate::sql;

/// What a drain has done.
#[derive(Debug, Clone, Copy, Default)]
pub struct DrainCounts {
    /// Jobs claimed.
    pub claimed: usize,
    /// Exports stored.
    pub exported: usize,
    /// Mails taken by the provider.
    pub mailed: usize,
    /// Jobs that died.
    pub dead: usize,
    /// Its longest runtime.
    pub max_runtime: Option<Duration>,
    /// What is left of that.
    pub time_left: Option<Duration>,
    /// Most exports at once over all processes; none: no limit.
    pub source_slots: Option<i32>,
}

/// What a drain leaves behind.
#[derive(Debug, Clone)]
pub struct Remaining {
    /// Jobs that could start now.
    pub due: i64,
    /// Those of them whose report usually takes longer than the time that was left.
    pub too_long: i64,
    /// Jobs for a later instant, or on hold.
    pub waiting: i64,
    /// Jobs that somebody has paused.
    pub paused: i64,
    /// Jobs under a lease of another process.
    pub running_elsewhere: i64,
    /// When something becomes due.
    pub next_due_at: Option<DateTime<Utc>>,
    /// What a wrong setting holds up, with what to do.
    pub on_hold: Option<String>,
}

impl Admin {
    /// Record how this process, a drain, has ended, and return what is left. There is one such row, and each drain writes over it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn record_drain(&self, drained: &DrainCounts) -> Result<Remaining, DatabaseError> {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let [claimed, exported, mailed, dead] = [drained.claimed, drained.exported, drained.mailed, drained.dead].map(number);
        let (time_left_ms, max_runtime_ms) = (drained.time_left.map(ms), drained.max_runtime.map(ms));
        let params: [&(dyn ToSql + Sync); 8] =
            [&self.pool.name(), &time_left_ms, &claimed, &exported, &mailed, &dead, &max_runtime_ms, &drained.source_slots];
        let row = self.pool.query_opt(sql::DRAINED, &params).await?;
        let row = row.ok_or_else(|| DatabaseError::Statement("no row of counts".into()))?;
        Ok(Remaining {
            due: row.get("due"),
            too_long: row.get("too_long"),
            waiting: row.get("waiting"),
            paused: row.get("paused"),
            running_elsewhere: row.get("running_elsewhere"),
            next_due_at: row.get("next_due_at"),
            on_hold: row.get("on_hold"),
        })
    }

    /// Note what SES says of its daily quota; `most_a_day` is `None` where there is no limit.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn record_mail_quota(&self, most_a_day: Option<i64>, sent: i64) -> Result<(), DatabaseError> {
        self.pool.query(sql::RECORD_MAIL_QUOTA, &[&most_a_day, &sent]).await.map(drop)
    }
}
