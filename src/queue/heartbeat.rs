//! One statement per heartbeat extends all leases of a process.

use uuid::Uuid;

use super::Queue;
use crate::database::{DatabaseError, ms};
use crate::job::LeaseToken;
use crate::sql;

/// One lease to extend, and how far its attempt is.
#[derive(Debug, Clone, Copy)]
pub struct Beat {
    /// The job.
    pub job_id: Uuid,
    /// Its lease.
    pub token: LeaseToken,
    /// Rows so far.
    pub rows: i64,
    /// Bytes stored so far.
    pub bytes: i64,
}

/// A lease that is still ours. One that is missing from the answer is lost.
#[derive(Debug, Clone, Copy)]
pub struct LeaseStatus {
    /// Which.
    pub token: LeaseToken,
    /// Its expiry was moved. It is not moved while somebody else has locked the row.
    pub is_extended: bool,
    /// Somebody asked for the export to be cancelled.
    pub cancel_requested: bool,
}

impl Queue {
    /// Extend these leases, and record that this process lives.
    ///
    /// # Errors
    /// When the database cannot be asked; no lease was kept then, as far as anybody knows.
    pub async fn heartbeat(&self, beats: &[Beat]) -> Result<Vec<LeaseStatus>, DatabaseError> {
        let job_ids: Vec<Uuid> = beats.iter().map(|beat| beat.job_id).collect();
        let tokens: Vec<uuid::Uuid> = beats.iter().map(|beat| beat.token.0).collect();
        let rows: Vec<i64> = beats.iter().map(|beat| beat.rows).collect();
        let bytes: Vec<i64> = beats.iter().map(|beat| beat.bytes).collect();
        let landed =
            self.pool.query(sql::HEARTBEAT, &[&job_ids, &tokens, &rows, &bytes, &ms(self.policy.lease), &self.pool.name()]).await?;
        Ok(landed
            .iter()
            .map(|row| LeaseStatus {
                token: LeaseToken(row.get("lease_token")),
                is_extended: row.get("landed"),
                cancel_requested: row.get("cancel_requested"),
            })
            .collect())
    }
}
