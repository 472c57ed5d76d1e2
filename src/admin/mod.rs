//! What people ask of the job tables and order there: status, reports, schedules, cancel, requeue, prune, migrate, and the metrics of the tables.
//!
//! A handle of its own over the pool that the engine (`queue`) uses, too: `cli`, `http` and `doctor` see only this one. The database's functions
//! and views decide what each role may do and see.
//! Must not know: leases, sources, stores, providers. Keeps I2: nothing here takes a running job away from its worker.

mod catalogue;
mod diagnose;
mod drain_summary;
mod inspect;
mod metrics;
pub mod migrate;
mod operate;
mod prune;
mod schedules;
mod schema;

pub use catalogue::{Registered, ReportDefinition};
pub use diagnose::{OldestSnapshot, RunsAs, Table};
pub use drain_summary::{DrainCounts, Remaining};
pub use inspect::Story;
pub use metrics::Reading;
pub use operate::{Affected, Filter};
pub use prune::Retention;
pub use schedules::Switch;

use crate::database::Pool;
pub use crate::job::Timetable;

/// The job tables as people see them.
#[derive(Clone)]
pub struct Admin {
    pool: Pool,
}

impl Admin {
    /// Over the connections of this process.
    pub fn new(pool: Pool) -> Admin {
        Admin { pool }
    }
}
