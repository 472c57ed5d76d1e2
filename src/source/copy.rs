//! The streaming exporter's half on the database: `COPY (query) TO STDOUT`, one message a row, as fast as somebody takes it.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio_postgres::CopyOutStream;

use super::Session;
use super::classify::{self, Phase};
use super::session::Column;
use super::shape::{bare, copy_options, shaped};
use super::slices::{Cut, Slice};
use crate::job::{ExportJob, Failure};

/// The rows on their way. Nothing is read ahead of whoever takes them: a slow store slows the query, memory stays flat.
pub struct Rows {
    stream: Pin<Box<CopyOutStream>>,
}

impl Session {
    /// Start the export's COPY.
    ///
    /// # Errors
    /// The query's own fault, or the source's.
    pub async fn copy(&self, job: &ExportJob) -> Result<Rows, Failure> {
        let columns = self.describe(bare(&job.query)).await?;
        let stream = self.client.copy_out(&copying(job, &columns)).await.map_err(|error| classify::failure(&error, Phase::Query))?;
        Ok(Rows { stream: Box::pin(stream) })
    }
}

/// The query has been parsed alone; the options are our own words with quoted literals.
fn copying(job: &ExportJob, columns: &[Column]) -> String {
    format!("copy (\n{}\n) to stdout with ({})", shaped(job, columns), copy_options(job, columns))
}

impl Session {
    /// The same for one slice of a file that is split; the session has described the query. The first has the heading.
    ///
    /// # Errors
    /// The query's own fault, or the source's.
    pub async fn copy_slice(&self, job: &ExportJob, columns: &[Column], cut: &Cut, slice: &Slice) -> Result<Rows, Failure> {
        let mut job = ExportJob { query: cut.query_of(bare(&job.query), slice), ..job.clone() };
        if !slice.is_first {
            job.options.header = Some(false);
        }
        let copy = copying(&job, columns);
        let (set, stream) = tokio::join!(self.set_slice(slice), self.client.copy_out(&copy));
        set.map_err(|error| classify::failure(&error, Phase::Query))?;
        Ok(Rows { stream: Box::pin(stream.map_err(|error| classify::failure(&error, Phase::Query))?) })
    }
}

impl Rows {
    /// The next line of the file: the header, then one row each (the server sends one message a row). `None`: that was all.
    ///
    /// # Errors
    /// The query's own fault, or the source's.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.stream.next().await {
            None => Ok(None),
            Some(Ok(line)) => Ok(Some(line)),
            Some(Err(error)) => Err(classify::failure(&error, Phase::Query)),
        }
    }
}
