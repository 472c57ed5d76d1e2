//! Trying a query where it will run, as it will run, without exporting anything: its columns, its plan, its first rows.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::classify::{self, Phase};
use super::shape::{bare, explained, first_rows};
use super::{Session, Source};
use crate::job::{Compression, ExportJob, Failure, Format, FormatOptions, Terms};

/// A query to try.
#[derive(Clone)]
pub struct Rehearsal {
    /// One SELECT.
    pub query: String,
    /// The role whose rights it has.
    pub run_as: String,
    /// Name and value of each parameter.
    pub params: Vec<(String, String)>,
    /// Rows to fetch; none: it is planned and not run.
    pub rows: u32,
    /// The longest it may take.
    pub timeout: Duration,
    /// What its file is split by; checked.
    pub split_key: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    /// Name and type of each column.
    pub columns: Vec<(String, String)>,
    /// The plan, as EXPLAIN has it.
    pub plan: Value,
    /// The first rows, objects by column name.
    pub first_rows: Vec<Value>,
}

impl Source {
    /// Try a query in a session like that of an export: role, read only, parameters, time limit.
    ///
    /// # Errors
    /// What an export of it would fail with. The detail holds the server's words.
    pub async fn rehearse(&self, rehearsal: &Rehearsal) -> Result<Rehearsed, Failure> {
        let job = ExportJob {
            report: None,
            query: rehearsal.query.clone(),
            run_as: rehearsal.run_as.clone(),
            params: rehearsal.params.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect(),
            recipients: 0,
            format: Format::Jsonl,
            compression: Compression::None,
            options: FormatOptions::default(),
            filename: None,
            sealed: None,
            terms: Terms::default(),
        };
        let session = Session::open(self, Uuid::new_v4(), &job, rehearsal.timeout).await?;
        let rehearsed = session.rehearse(rehearsal).await;
        match rehearsed {
            Ok(_) => session.close().await,
            Err(_) => session.end().await,
        }
        rehearsed
    }
}

impl Session {
    async fn rehearse(&self, rehearsal: &Rehearsal) -> Result<Rehearsed, Failure> {
        let (query, rows) = (&rehearsal.query, rehearsal.rows);
        let failed = |error: tokio_postgres::Error| classify::failure(&error, Phase::Query);
        // Parsed alone first: what is one statement by itself cannot break out of the parentheses below.
        let columns = self.describe(bare(query)).await?;
        if let Some(key) = &rehearsal.split_key {
            self.check_split(query, key, &columns).await?;
        }
        let plan: Value = self.client.query_one(&explained(query), &[]).await.map_err(failed)?.get(0);
        let first_rows = match rows {
            0 => Vec::new(),
            rows => self.client.query(&first_rows(query, rows), &[]).await.map_err(failed)?.iter().map(|row| row.get(0)).collect(),
        };
        let columns = columns.into_iter().map(|column| (column.name, column.data_type.name().to_string())).collect();
        Ok(Rehearsed { columns, plan, first_rows })
    }
}
