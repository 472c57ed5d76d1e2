//! Trying a query where it will run, as it will run, without exporting anything: its columns, its plan, its first rows.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::parallel::check_key;
use crate::format::default_request;
use crate::job::{ExportJob, Failure, Terms, bare};
use crate::source::{Session, Source};

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
    /// Their types, by OID.
    pub types: Vec<u32>,
    /// The plan, as EXPLAIN has it.
    pub plan: Value,
    /// The first rows, objects by column name.
    pub first_rows: Vec<Value>,
}

/// Try a query in a session like that of an export: role, read only, parameters, time limit.
///
/// # Errors
/// What an export of it would fail with. The detail holds the server's words.
pub async fn rehearse(source: &Source, rehearsal: &Rehearsal) -> Result<Rehearsed, Failure> {
    let job = ExportJob {
        report: None,
        query: rehearsal.query.clone(),
        run_as: rehearsal.run_as.clone(),
        params: rehearsal.params.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect(),
        recipients: 0,
        file: default_request(),
        filename: None,
        sealed: None,
        terms: Terms::default(),
    };
    let session = Session::open(source, Uuid::new_v4(), &job, rehearsal.timeout).await?;
    let rehearsed = try_query(&session, rehearsal).await;
    match rehearsed {
        Ok(_) => session.close().await,
        Err(_) => session.end().await,
    }
    rehearsed
}

async fn try_query(session: &Session, rehearsal: &Rehearsal) -> Result<Rehearsed, Failure> {
    let query = bare(&rehearsal.query);
    // Parsed alone first: what is one statement by itself cannot break out of the parentheses below.
    let columns = session.describe(query).await?;
    if let Some(key) = &rehearsal.split_key {
        check_key(session, query, key, &columns).await?;
    }
    let plan = session.explain(query).await?;
    let first_rows = match rehearsal.rows {
        0 => Vec::new(),
        rows => session.first_rows(query, rows).await?,
    };
    let types = columns.iter().map(|column| column.data_type.oid()).collect();
    let columns = columns.into_iter().map(|column| (column.name, column.data_type.name().to_string())).collect();
    Ok(Rehearsed { columns, types, plan, first_rows })
}
