//! The suite: real services, one file per group of properties.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod store;
