//! A claimed job and the right to settle it, once.

use std::time::{Duration, Instant};

use tokio_postgres::Row;
use uuid::Uuid;

use crate::job::{Kind, LeaseToken};

/// A claimed job. Not `Clone`, made only by a claim, and settled by value: settling twice does not compile.
#[derive(Debug)]
pub struct Lease {
    token: LeaseToken,
    job_id: Uuid,
    export_id: Option<Uuid>,
    kind: Kind,
    attempt: i16,
    number: i32,
    max_attempts: i16,
    is_probe: bool,
    deadline: Instant,
}

impl Lease {
    /// From a row of `sql/claim/claim.sql`; `asked` is from before it was sent.
    pub(super) fn from_row(row: &Row, asked: Instant) -> Lease {
        Lease {
            job_id: row.get("id"),
            export_id: row.get("export_id"),
            kind: if row.get::<_, &str>("kind") == Kind::Export.as_str() { Kind::Export } else { Kind::Message },
            token: LeaseToken(row.get("lease_token")),
            attempt: row.get("attempt"),
            number: row.get("number"),
            max_attempts: row.get("max_attempts"),
            is_probe: row.get("is_probe"),
            deadline: asked + Duration::from_millis(row.get::<_, i64>("time_left_ms").max(0).unsigned_abs()),
        }
    }

    /// Which lease.
    pub fn token(&self) -> LeaseToken {
        self.token
    }

    /// The job's id, which is its subject's: the export's or the message's.
    pub fn job_id(&self) -> Uuid {
        self.job_id
    }

    /// The export that the job serves; none for a mail that announces no export.
    pub fn export_id(&self) -> Option<Uuid> {
        self.export_id
    }

    /// What to do.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Which attempt this is, from 1, released ones not counted.
    pub fn attempt(&self) -> i16 {
        self.attempt
    }

    /// Which lease of the job this is, from 1, released ones counted.
    pub(super) fn number(&self) -> i32 {
        self.number
    }

    /// After this many attempts the job is dead.
    pub(super) fn max_attempts(&self) -> i16 {
        self.max_attempts
    }

    /// Its kind is on hold, and this job was let through to try.
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// When this process ends the attempt. Measured from before the claim was sent, so always earlier than the database's deadline (I7).
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The same lease once more: what a worker holds that does not know that its lease is gone. For tests; no release build has it.
    #[cfg(all(feature = "sandbox", debug_assertions))]
    pub fn stale(&self) -> Lease {
        Lease { ..*self }
    }
}
