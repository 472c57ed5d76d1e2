//! The streaming exporter's half on the database: `COPY (query) TO STDOUT`, one message a row, as fast as somebody takes it.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio_postgres::{CopyOutStream, Error};

use super::Session;
use super::classify::{self, Phase};
use crate::job::Failure;
use crate::sql;

/// Two values that a query reads as settings, so that they never stand in its text. What is not given is an empty setting.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds<'a> {
    /// `exportbox.split_from`.
    pub from: Option<&'a str>,
    /// `exportbox.split_to`.
    pub to: Option<&'a str>,
}

/// The rows on their way. Nothing is read ahead of whoever takes them: a slow store slows the query, memory stays flat.
pub struct Rows {
    stream: Pin<Box<CopyOutStream>>,
}

impl Session {
    /// Start a COPY of a query that has been described; the options are words of ours with quoted literals.
    ///
    /// # Errors
    /// The query's own fault, or the source's.
    pub async fn copy(&self, query: &str, options: &str) -> Result<Rows, Failure> {
        Rows::new(self.client.copy_out(&copying(query, options)).await)
    }

    /// The same of a query that reads these bounds, in one round trip.
    ///
    /// # Errors
    /// The query's own fault, or the source's.
    pub async fn copy_between(&self, query: &str, options: &str, bounds: Bounds<'_>) -> Result<Rows, Failure> {
        let copy = copying(query, options);
        let (set, stream) = tokio::join!(self.set_bounds(bounds), self.client.copy_out(&copy));
        Rows::new(set.and(stream))
    }

    pub(super) async fn set_bounds(&self, bounds: Bounds<'_>) -> Result<(), Error> {
        let (from, to) = (bounds.from.unwrap_or_default(), bounds.to.unwrap_or_default());
        self.client.query_typed(sql::SET_SLICE, &sql::typed(sql::SET_SLICE, &[&from, &to])).await.map(drop)
    }
}

fn copying(query: &str, options: &str) -> String {
    // The line breaks keep a trailing `--` comment from swallowing the parenthesis.
    format!("copy (\n{query}\n) to stdout with ({options})")
}

impl Rows {
    fn new(stream: Result<CopyOutStream, Error>) -> Result<Rows, Failure> {
        stream.map(|stream| Rows { stream: Box::pin(stream) }).map_err(|error| classify::failure(&error, Phase::Query))
    }

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
