//! Mails about failures, gathered from what died. From here on they are messages like any other.

use std::time::Duration;

use super::Queue;
use crate::database::{DatabaseError, ms};
use crate::job::Recipient;
use crate::sql;

/// Exports that one run of `gather_failures` puts into notices.
const BATCH: i32 = 200;

impl Queue {
    /// Put exports that died into notices to their recipients: at most one notice to a recipient within `time_between`. Returns how many exports
    /// that were.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn gather_failures(&self, time_between: Duration) -> Result<i32, DatabaseError> {
        let mut gathered = 0;
        loop {
            let row = self.pool.query_opt(sql::GATHER_FAILURES, &[&ms(time_between)]).await?;
            let exports: i32 = row.map(|row| row.get("exports")).unwrap_or_default();
            gathered += exports;
            if exports < BATCH {
                return Ok(gathered);
            }
        }
    }

    /// Make the operators' digests up to the last full period, if anything died. Returns how many mails that are.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn gather_digest(&self, operators: &[Recipient], every: Duration) -> Result<i64, DatabaseError> {
        let addresses: Vec<&str> = operators.iter().map(Recipient::reveal).collect();
        let row = self.pool.query_opt(sql::GATHER_DIGEST, &[&addresses, &ms(every)]).await?;
        Ok(row.map(|row| row.get("mails")).unwrap_or_default())
    }
}
