//! exportbox: insert a row, get a file.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod database;
pub mod delivery;
pub mod export;
pub mod job;
pub mod mail;
pub mod queue;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod source;
pub mod sql;
pub mod store;
pub mod telemetry;
pub mod worker;
