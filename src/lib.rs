//! exportbox: insert a row, get a file.

pub mod delivery;
pub mod job;
pub mod mail;
