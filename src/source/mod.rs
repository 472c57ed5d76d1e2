//! Where queries run: a connection for each export at a time, read only, one snapshot, the request's role, its parameters as settings.
//!
//! Must not know: jobs' states, stores, mails. Never the bookkeeping pool: a query that takes hours holds nothing of the queue (I3). The
//! transaction is always rolled back, and a query that is no longer wanted is cancelled on the server, not only dropped here.

pub mod aws_s3;
mod classify;
mod connect;
pub mod copy;
mod idle;
mod inspect;
mod plan;
mod sealed;
mod session;
mod snapshot;

pub use connect::{Source, Sources};
pub use copy::Bounds;
pub use inspect::{Membership, SourceFacts};
pub use sealed::Sealed;
pub use session::Session;
pub use snapshot::Snapshot;

pub use crate::job::{DEFAULT_SOURCE, Failure};
