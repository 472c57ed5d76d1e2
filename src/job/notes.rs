//! What a running attempt has the queue remember, so that others can clean up after it.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Failure;

/// One transaction on a source: the process of the server that runs it, and its start. Together they never name a stranger's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    /// The server's process.
    pub pid: i32,
    /// The start of the transaction there, as `pg_stat_activity.xact_start` has it.
    pub xact_start: DateTime<Utc>,
}

/// One thing to remember.
#[derive(Debug, Clone)]
pub enum Note {
    /// The provider is about to be called: from here on the mail may have been sent.
    Sending,
    /// Where the query runs.
    Backend {
        /// The name of the source.
        source: String,
        /// Its transaction.
        backend: Backend,
        /// `aws_s3` or `copy`.
        exporter: &'static str,
        /// How many rows the source's planner expects.
        expected_rows: Option<i64>,
    },
    /// The other transactions that will export slices of the file.
    Helpers(Vec<Backend>),
    /// Where something is about to be stored.
    Store {
        /// The bucket.
        bucket: String,
        /// The key of its first file.
        key: String,
        /// The multipart upload, once there is one.
        upload_id: Option<String>,
    },
}

/// Writes the notes of one attempt down.
#[async_trait]
pub trait NoteTaker: Send + Sync {
    /// Write one down.
    ///
    /// # Errors
    /// It is not written, and the attempt must end.
    async fn take(&self, note: Note) -> Result<(), Failure>;
}

/// Where an attempt leaves its notes. An error of any of them means that the attempt must end: its lease is gone, or the queue cannot be asked.
#[derive(Clone)]
pub struct Notes(Arc<dyn NoteTaker>);

impl Notes {
    /// Notes that this taker writes down.
    pub fn new(taker: impl NoteTaker + 'static) -> Notes {
        Notes(Arc::new(taker))
    }

    /// Notes of an attempt that belongs to no job: they are not written.
    pub fn nowhere() -> Notes {
        Notes::new(Nowhere)
    }

    /// The provider is about to be called.
    ///
    /// # Errors
    /// The provider must not be called.
    pub async fn sending(&self) -> Result<(), Failure> {
        self.0.take(Note::Sending).await
    }

    /// The query is about to run here.
    ///
    /// # Errors
    /// It must not run.
    pub async fn backend(&self, source: &str, backend: Backend, exporter: &'static str, expected_rows: Option<i64>) -> Result<(), Failure> {
        self.0.take(Note::Backend { source: source.into(), backend, exporter, expected_rows }).await
    }

    /// Slices of the file are about to be exported here, too.
    ///
    /// # Errors
    /// They must not be.
    pub async fn helpers(&self, backends: Vec<Backend>) -> Result<(), Failure> {
        self.0.take(Note::Helpers(backends)).await
    }

    /// Something is about to be stored here.
    ///
    /// # Errors
    /// It must not be stored.
    pub async fn store(&self, bucket: &str, key: &str, upload_id: Option<&str>) -> Result<(), Failure> {
        let upload_id = upload_id.map(ToString::to_string);
        self.0.take(Note::Store { bucket: bucket.into(), key: key.into(), upload_id }).await
    }
}

struct Nowhere;

#[async_trait]
impl NoteTaker for Nowhere {
    async fn take(&self, _: Note) -> Result<(), Failure> {
        Ok(())
    }
}
