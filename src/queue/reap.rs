//! What a reap tells its worker. The statement runs in `claim.rs`, first in every cycle.

use tokio_postgres::Row;
use uuid::Uuid;

/// A lease that was ended because its worker died, stalled or overran.
#[derive(Debug, Clone)]
pub struct Reaped {
    /// The job.
    pub job_id: Uuid,
    /// The export it serves.
    pub export_id: Option<Uuid>,
    /// Where the job went: pending, dead or cancelled.
    pub state: String,
    /// Why.
    pub error_class: String,
}

pub(super) fn reaped_from(row: &Row) -> Reaped {
    Reaped { job_id: row.get("id"), export_id: row.get("export_id"), state: row.get("state"), error_class: row.get("error_class") }
}
