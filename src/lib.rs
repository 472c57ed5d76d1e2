//! exportbox: insert a row, get a file.

pub mod job;
#[cfg(feature = "sandbox")]
pub mod sandbox;
