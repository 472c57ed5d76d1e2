//! How PostgreSQL is reached and asked: a URL and its connections, the pool of the job tables, one way to run a statement, and its errors.
//!
//! `queue` and `admin` run their statements through the pool; `source` only connects through here. Only `daemon` and the commands build one.
//! Must not know: jobs. Above this room nobody reads an SQLSTATE of the job tables (`source` reads those of its own servers).
//! Keeps I3: a connection is taken for one short statement and given back.

mod cancel;
mod error;
mod limits;
mod pool;
mod server;
mod statement;
mod tls;
mod url;

use std::time::Duration;

pub use error::DatabaseError;
pub use limits::{ConnectionLimit, ConnectionLimits};
pub use pool::Pool;
pub use server::Server;
pub use url::{DatabaseConnection, DatabaseUrl, UrlError};

/// A duration in milliseconds, as the statements take it.
pub(crate) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
