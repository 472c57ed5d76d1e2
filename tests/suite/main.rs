//! The suite: real PostgreSQL, real SDKs over HTTP, real SMTP; one file per group of properties.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod aws_s3;
mod backends;
mod cancel;
mod cap;
mod claim;
mod commands;
mod connections;
#[cfg(debug_assertions)]
mod crash;
mod delivery;
mod demo;
mod deploy;
mod door;
mod exports;
mod failover;
mod guards;
mod harness;
mod lease;
mod mail;
mod memory;
mod model;
mod mutations;
mod outage;
mod plans;
mod poison;
mod pooler;
mod reports;
mod retention;
mod rights;
mod sandbox;
mod schedules;
mod sealed;
mod security;
mod shutdown;
mod sleep;
mod snapshot;
mod starvation;
mod statements;
mod store;
mod sweep;
mod tidy;
mod together;
mod transitions;
