//! The tests that run against real parts.

mod mail;
