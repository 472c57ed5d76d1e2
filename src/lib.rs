//! exportbox: insert a row, get a file.

pub mod export;
pub mod job;
pub mod store;
