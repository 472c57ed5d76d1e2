//! What an attempt reads before it works, and what it notes while it works. All of it names the lease token.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Lease, Queue};
use crate::database::DatabaseError;
use crate::job::{Backend, Envelope, ExportJob, FileRequest, LeaseToken, Note, Origin, Recipient, Terms};
use crate::sql;

/// What became of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It is written.
    Recorded,
    /// Somebody cancelled the export: the provider must not be called.
    Cancelled,
    /// The lease is gone.
    LeaseLost,
}

fn setting_text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

impl Queue {
    /// What an export job works with. `None`: the lease is gone.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn load_export(&self, lease: &Lease) -> Result<Option<ExportJob>, DatabaseError> {
        let Some(row) = self.pool.query_opt(sql::LOAD_EXPORT, &[&lease.job_id(), &lease.token().0]).await? else { return Ok(None) };
        let params = match row.get::<_, Value>("params") {
            Value::Object(params) => params.into_iter().map(|(name, value)| (name, setting_text(value))).collect(),
            _ => Vec::new(),
        };
        Ok(Some(ExportJob {
            report: row.get("report"),
            query: row.get("query"),
            run_as: row.get("run_as"),
            params,
            recipients: row.get("recipients"),
            file: FileRequest { format: row.get("format"), compression: row.get("compression"), options: row.get("format_options") },
            filename: row.get("filename"),
            sealed: row.get("sealed"),
            terms: Terms {
                source: row.get("source"),
                prefix: row.get("prefix"),
                kms_key: row.get("kms_key"),
                max_rows: row.get("max_rows"),
                max_bytes: row.get("max_bytes"),
                split_key: row.get("split_key"),
            },
        }))
    }

    /// What a message job works with. `None`: the lease is gone.
    ///
    /// # Errors
    /// When the database cannot be asked, or holds what this program does not know.
    pub async fn load_message(&self, lease: &Lease) -> Result<Option<Envelope>, DatabaseError> {
        let Some(row) = self.pool.query_opt(sql::LOAD_MESSAGE, &[&lease.job_id(), &lease.token().0]).await? else { return Ok(None) };
        let unknown = || DatabaseError::Statement("the message's origin is not known to this version".into());
        Ok(Some(Envelope {
            message_id: lease.job_id(),
            recipient: Recipient::new(row.get::<_, String>("recipient")),
            origin: Origin::parse(row.get("origin")).ok_or_else(unknown)?,
            export_id: row.get("export_id"),
            content: row.get("content"),
        }))
    }

    /// Write a note of a running attempt.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn note(&self, token: LeaseToken, note: &Note) -> Result<Noted, DatabaseError> {
        let rows = match note {
            Note::Sending => self.pool.query(sql::RECORD_SENDING, &[&token.0]).await?,
            Note::Backend { source, backend: Backend { pid, xact_start }, exporter, expected_rows } => {
                self.pool.query(sql::RECORD_BACKEND, &[&token.0, pid, xact_start, exporter, expected_rows, source]).await?
            }
            Note::Helpers(backends) => {
                let (pids, starts): (Vec<i32>, Vec<DateTime<Utc>>) =
                    backends.iter().map(|backend| (backend.pid, backend.xact_start)).unzip();
                self.pool.query(sql::RECORD_HELPERS, &[&token.0, &pids, &starts]).await?
            }
            Note::Store { bucket, key, upload_id } => self.pool.query(sql::RECORD_STORE, &[&token.0, bucket, key, upload_id]).await?,
        };
        Ok(match rows.first() {
            None => Noted::LeaseLost,
            Some(row) if matches!(note, Note::Sending) && row.get("cancelled") => Noted::Cancelled,
            Some(_) => Noted::Recorded,
        })
    }
}
