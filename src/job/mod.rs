//! What a job is, without any I/O: its states, its lease, what an attempt came to, how long to back off, where its objects lie.
//!
//! Must not know: databases, stores, providers. Everything above imports from here; this room imports from nowhere but `secret`.
//! Keeps I4 (an object key holds the lease token).

pub mod attempt;
pub mod backoff;
pub mod envelope;
pub mod expected;
pub mod export;
pub mod failure;
pub mod filename;
pub mod key;
pub mod lease;
pub mod notes;
pub mod outcome;
pub mod recipient;
pub mod state;
pub mod timetable;

pub use attempt::{Attempt, LeaseClock, Progress};
pub use backoff::backoff;
pub use envelope::{Envelope, Origin};
pub use expected::ExpectedExporter;
pub use export::{Column, DEFAULT_SOURCE, ExportJob, FileRequest, Terms, bare, quote_identifier};
pub use failure::{Failure, FailureClass, Verdict};
pub use filename::safe_filename;
pub use key::ObjectKey;
pub use lease::{Kind, LeaseToken, Stop, StopReason};
pub use notes::{Backend, Note, NoteTaker, Notes};
pub use outcome::{Manifest, ManifestPart, Outcome, Receipt};
pub use recipient::{Recipient, mask_addresses};
pub use state::{State, TRANSITIONS, Transition};
pub use timetable::{CatchUp, Dues, NoTimetable, Timetable};
