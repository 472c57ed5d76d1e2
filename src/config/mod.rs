//! The settings: flags and environment variables of the same name. `--help` is the reference.
//!
//! Each group of arguments has a file of its own; `settings.rs` checks them all before anything starts.
//! Must not know: how anything works. It makes the options that other rooms take, and asks nobody.

mod database;
mod retention;
mod settings;
mod sources;
mod work;

pub use database::DatabaseArgs;
pub use retention::{Age, RetentionArgs};
pub use settings::Settings;
pub use sources::{SourceArgs, SourceSettings};
pub use work::{ExporterArgs, WorkArgs};
