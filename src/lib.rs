//! exportbox: insert a row, get a file.

pub mod job;
