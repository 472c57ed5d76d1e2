//! The job tables: claim, heartbeat, reap, settle, and what people ask and order.
//!
//! Every statement is one file in `sql/`; the only room that runs them, and the only one that reads an SQLSTATE of the queue.
//! Must not know: sources, stores, providers. Keeps I2 (every way out of `running` names the lease token, or is reap), I3 (each call takes a
//! connection for one short statement and gives it back), I6 and I7 (all times are the database's; deadlines are measured from before the
//! claim was asked for).

mod ask;
mod batcher;
mod catalogue;
mod claim;
mod complete;
mod cursor;
mod diagnose;
mod drain_summary;
pub mod error;
mod heartbeat;
mod inspect;
mod lease;
mod listen;
mod load;
mod metrics;
pub mod migrate;
mod next_due;
mod notice;
mod operate;
mod pool;
mod prune;
mod reap;
mod schedule;
mod settle;
mod sweep;

pub use catalogue::{Registered, ReportDefinition};
pub use claim::{Cycle, FreeSlots, Scan};
pub use diagnose::{OldestSnapshot, RunsAs, Table};
pub use drain_summary::{DrainCounts, Remaining};
pub use error::QueueError;
pub use heartbeat::{Beat, LeaseStatus};
pub use inspect::Story;
pub use lease::Lease;
pub use listen::{Listener, WaitState};
pub use load::Noted;
pub use metrics::Reading;
pub use next_due::NextDue;
pub use notice::{ClaimedNotice, NOTICE_LEASE};
pub use operate::{Affected, Filter};
pub use pool::{Policy, Queue};
pub use prune::{Chore, LeftoverFile, Retention, Uploads};
pub use reap::Reaped;
pub use schedule::{DueSchedule, Switch};
pub use settle::Settled;
pub use sweep::{StoredAt, Unswept};

pub use crate::job::Timetable;
