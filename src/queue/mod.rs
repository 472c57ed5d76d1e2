//! The job tables: claim, heartbeat, reap, settle, and what people ask and order.
//!
//! Every statement is one file in `sql/`; the only room that runs them, and the only one that reads an SQLSTATE of the queue.
//! Must not know: sources, stores, providers. Keeps I2 (every way out of `running` names the lease token, or is reap), I3 (each call takes a
//! connection for one short statement and gives it back), I6 and I7 (all times are the database's; deadlines are measured from before the
//! claim was asked for).

mod ahead;
mod ask;
mod catalogue;
mod claim;
mod complete;
pub mod error;
mod examine;
mod figures;
mod heartbeat;
mod inspect;
mod listen;
mod load;
mod look;
pub mod migrate;
mod notice;
mod operate;
mod pool;
mod prune;
mod reap;
mod schedule;
mod settle;
mod sweep;
mod together;
mod trace;

pub use ahead::Ahead;
pub use catalogue::{Definition, Registered};
pub use claim::{Cycle, Room};
pub use error::QueueError;
pub use examine::{RunsAs, Snapshot, Table};
pub use figures::Figure;
pub use heartbeat::{Beat, Landed};
pub use inspect::Story;
pub use listen::{Listener, Mark};
pub use load::Noted;
pub use notice::{ClaimedNotice, NOTICE_LEASE};
pub use operate::{Filter, Touched};
pub use pool::{Policy, Queue};
pub use prune::{Chore, LeftoverFile, Retention, Uploads};
pub use reap::Reaped;
pub use schedule::{DueSchedule, Switch};
pub use settle::Settled;
pub use sweep::{StoredAt, Unswept};
pub use trace::{Drained, Leftover};

pub use crate::job::Timetable;
