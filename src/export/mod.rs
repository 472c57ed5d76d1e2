//! From an export job to a stored file.

pub mod body;
