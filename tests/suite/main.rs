//! The suite: real PostgreSQL, real SDKs over HTTP, real SMTP; one file per group of properties.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod aws_s3;
mod backends;
mod cancel;
mod claim;
mod commands;
mod connections;
mod delivery;
mod demo;
mod deploy;
mod door;
mod exports;
mod failover;
mod harness;
mod lease;
mod mail;
mod memory;
mod outage;
mod plans;
mod pooler;
mod sandbox;
mod shutdown;
mod sleep;
mod statements;
mod store;
mod tidy;
mod together;
mod transitions;
