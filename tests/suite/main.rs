//! The suite: real PostgreSQL, real SDKs over HTTP, real SMTP; one file per group of properties.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod aws_s3;
mod cancel;
mod claim;
mod commands;
mod delivery;
mod demo;
mod deploy;
mod door;
mod exports;
mod harness;
mod lease;
mod mail;
mod memory;
mod outage;
mod plans;
mod reports;
mod sandbox;
mod shutdown;
mod sleep;
mod statements;
mod store;
mod sweep;
mod tidy;
mod transitions;
