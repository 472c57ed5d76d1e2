//! From a stored file to each recipient: one mail, one honest link, and the truth about what became of it.

mod faults;
mod link;
mod mail;
mod transports;

/// What most of these tests export.
const QUERY: &str = "select n from generate_series(1, 3) as n";
const FILE: &[u8] = b"n\n1\n2\n3\n";
