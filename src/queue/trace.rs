//! What a process leaves for whoever looks later: how a drain ended, and what the mail provider said of its quota.

use std::time::Duration;

use tokio_postgres::types::ToSql;

use super::pool::ms;
use super::{Queue, QueueError};
use crate::sql;

/// The figures of a drain that has ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Drained {
    /// Jobs claimed.
    pub claimed: usize,
    /// Exports stored.
    pub exported: usize,
    /// Mails taken by the provider.
    pub mailed: usize,
    /// Jobs that died.
    pub dead: usize,
    /// Jobs that could start now.
    pub due_left: i64,
    /// A wrong setting holds some up.
    pub is_on_hold: bool,
    /// Its longest runtime.
    pub max_runtime: Option<Duration>,
}

impl Queue {
    /// Note how this drain ended: one row, written over by each.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn record_drain(&self, drained: &Drained) -> Result<(), QueueError> {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let [claimed, exported, mailed, dead] = [drained.claimed, drained.exported, drained.mailed, drained.dead].map(number);
        let (max_runtime_ms, source_slots) = (drained.max_runtime.map(ms), self.policy.source_slots);
        let params: [&(dyn ToSql + Sync); 8] =
            [&claimed, &exported, &mailed, &dead, &drained.due_left, &drained.is_on_hold, &max_runtime_ms, &source_slots];
        self.query(sql::RECORD_DRAIN, &params).await.map(drop)
    }

    /// Note what SES says of its daily quota; `most_a_day` is `None` where there is no limit.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn record_mail_quota(&self, most_a_day: Option<i64>, sent: i64) -> Result<(), QueueError> {
        self.query(sql::RECORD_MAIL_QUOTA, &[&most_a_day, &sent]).await.map(drop)
    }
}
