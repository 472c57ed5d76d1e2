//! exportbox: insert a row in the same transaction as your business data, and get a file.
//!
//! # The flow
//!
//! 1. An application inserts into `exportbox.outbox`; triggers check the row and add a pending job, all in its own transaction.
//! 2. [`worker`] has free slots and runs a cycle: reap lost leases, expire what is too late, claim what is due; between such thorough looks it
//!    only claims what lies behind its last claim. A thorough look also finds schedules that are due, which do nothing but insert requests.
//! 3. A claim makes a lease token, opens an attempt row, sets lease expiry and deadline, and commits. No connection is held from here on.
//! 4. An export: [`export`] opens a read-only snapshot on the [`source`] as the request's role, streams `COPY` in the wanted [`format`](mod@format)
//!    into the [`store`] (or has `aws_s3` write), and verifies what is stored.
//! 5. [`queue`] settles it: manifest, and one delivery job per recipient, in one statement that names the lease token.
//! 6. A delivery is stamped `sending`; [`message`] signs a link and composes the mail; [`mail`] hands it to the provider, once.
//! 7. [`queue`] settles it: `accepted` with the provider's id; or retry, dead, unknown, released.
//! 8. Meanwhile one heartbeat a process keeps all leases, brings cancels, and stops what has lost its lease.
//!    Beside the work what lost is swept, and now and then one process prunes what is old enough.
//! 9. Nothing due: the worker marks itself asleep, looks once more, and sleeps until the next due instant or a wake.
//!
//! # The rooms
//!
//! `cli → daemon → {worker, http, doctor} → {export, message} → {queue, admin, source, store, mail, format} → {job, database, sql, secret, metrics}`.
//! Import only from the right; `export` and `message` never import `queue`. Every statement is one file in `sql/`; [`sql`] holds their text. [`sandbox`] stands beside them all: the
//! demo, the tests and the benchmarks use it, the daemon does not know it.
//!
//! # The invariants
//!
//! - **I1** One job row, one side effect.
//! - **I2** A job leaves `running` only through a statement that names its lease token, or through reap after expiry.
//! - **I3** No queue connection is held while S3 or SES is being called.
//! - **I4** An object key is written once; only a settled lease makes it visible.
//! - **I5** A delivery exists only if its export is completed; both become true in one statement.
//! - **I6** Each claim opens one attempt row; whatever ends the lease closes it in the same statement.
//! - **I7** Time compared between processes is the database's; the daemon's own deadline is always earlier.
//! - **I8** Handlers return; a job that a handler ran ends only in `queue/settle.rs`.
//!
//! # At least once
//!
//! One window can double a mail: the provider takes it, and the process dies or loses the reply before that is settled. The delivery shows as
//! `unknown` on the way, an event records it, and `EXPORTBOX_UNKNOWN` says whether it is sent again or held for a person. `tests/suite/crash/`
//! kills the process at every point of [`failpoint`] and measures it: one extra mail in that window, none anywhere else, none at all with `hold`.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test that cannot go on panics"))]

#[macro_use]
pub mod failpoint;

pub mod admin;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod database;
pub mod doctor;
pub mod export;
pub mod format;
pub mod http;
pub mod job;
pub mod mail;
pub mod message;
pub mod metrics;
pub mod queue;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod secret;
pub mod source;
pub mod sql;
pub mod store;
pub mod telemetry;
pub mod worker;
