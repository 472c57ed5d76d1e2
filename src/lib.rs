//! exportbox: insert a row in the same transaction as your business data, and get a file.
//!
//! # The flow
//!
//! 1. An application inserts into `exportbox.outbox`. Triggers check the row and add a pending job, all in the application's own transaction.
//! 2. [`worker`] has free slots and runs a claim cycle on the [`queue`]: reap lost leases, expire what is too late, claim what is due. Such a full
//!    scan also finds the schedules that are due, and inserts their requests. Between full scans a cycle only claims what lies behind its cursors.
//! 3. A claim makes a lease token, opens an attempt row, sets the lease's expiry and the deadline, and commits. From here on no connection to the
//!    job tables is held.
//! 4. An export: [`export`] opens a read-only snapshot on the [`source`] as the request's role, streams `COPY` in the wanted
//!    [`format`](mod@format) into the [`store`] (or has `aws_s3` write there), and verifies what is stored.
//! 5. The queue settles the lease: one statement that names the lease token stores the manifest and adds one message job for each recipient.
//! 6. A message: it is stamped `sending`, [`message`] signs the link and composes the mail, and [`mail`] hands it to the provider, once.
//! 7. The queue settles the lease: `accepted` with the provider's id; or retry, dead, unknown, released.
//! 8. Meanwhile one heartbeat per process extends all its leases, brings cancels, and stops attempts whose lease is gone. Beside the work, a process
//!    sweeps what lost attempts have stored; and now and then one process of all prunes the rows that are old enough.
//! 9. When nothing is due, the worker marks itself as waiting, looks once more, and sleeps until the next due instant or a wake.
//!
//! # The rooms
//!
//! `cli → daemon → {worker, http, doctor} → {export, message} → {queue, admin, source, store, mail, format} → {job, database, sql, secret, metrics}`
//!
//! A room imports only from the right; `export` and `message` never import `queue`. [`queue`] is the engine, [`admin`] is what people ask and order:
//! two handles over one pool of [`database`]. [`cli`], [`http`] and [`doctor`] see only the second. Every statement is one file in `sql/`, and
//! [`sql`] holds their text. [`sandbox`] stands beside them all: the demo, the tests and the benchmarks use it, and the daemon does not know it.
//! `tests/suite/tidy.rs` checks all this.
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
//! # The words
//!
//! - **request**: what an application inserts into `exportbox.outbox`.
//! - **export**: a request that becomes a file. **message**: one mail to one recipient. **delivery**: a message that brings an export's link.
//! - **job**: the unit of work, one for each export and one for each message. That export or message is its **subject**.
//! - **attempt**: one run of a job, a row of its own. **outcome**: what the attempt came to.
//! - **claim**: take a due job, which starts an attempt and gives its worker a **lease**: the right to work on the job until an instant.
//! - **lease token**: a random id, made new by each claim. Every write of a worker names it.
//! - **fence**: the condition on the lease token; a worker that has lost its lease changes no row.
//! - **heartbeat**: extends the leases of a process, and brings cancels. **deadline**: when an attempt has had its time.
//! - **cursor**: where the next claim of a process begins in the index. **full scan**: a claim that begins at the start of the index.
//! - **settle**: write what became of a lease. It is one of the next four.
//! - **complete**: the work is done. **retry**: try again later, which counts an attempt.
//! - **release**: give the job back, which counts no attempt. **bury**: no further attempt; the job is dead.
//! - **dead**: failed for good. **requeue**: give a dead or cancelled job a fresh start.
//! - **reap**: end a lease that has run out, and decide what becomes of its job.
//! - **sweep**: remove what a lost attempt has left in the store or on the source.
//! - **prune**: delete the rows of exports that have been final for long enough.
//! - **wake**: a notification that something is due. It carries no data; the tables are the truth.
//! - **drain**: work until nothing is due, and exit. Its **budget** limits its time and its jobs; its **summary** says what is left.
//! - **hold**: a kind of job waits because a setting is wrong. **probe**: one job of it that is let through to try. **pause**: people hold a scope.
//! - **last chance**: the state of a job whose next crash buries it; a process runs one such job at a time.
//! - **batcher**: writes what several attempts have done at the same time with one statement.
//! - **idle connection pool**: connections to a source that wait for the next export of the same role.
//! - **slice**: a range of a split key that one backend exports. **histogram**: where the planner expects the rows; it places the slices.
//! - **channel**: how the backends of one split export hand over their rows, in order.
//! - **seal**: make a report a function of its own, so that the database itself may export it.
//! - **manifest**: what is stored of a completed export: the bucket, the parts, their sizes and checksums.
//! - **snapshot**: one state of a source's data, which all queries of an export see.
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
