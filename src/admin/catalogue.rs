//! The catalogue of reports: registering, disabling and reading them. The database's functions check and record; the view decides what each role
//! may see.

use std::time::Duration;

use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Admin;
use crate::database::{DatabaseError, ms};
use crate::job::ExpectedExporter;
use crate::sql;

/// A report as its author writes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReportDefinition {
    /// What requests name.
    pub name: String,
    /// For people who look for it.
    pub description: Option<String>,
    /// One SELECT.
    pub query: String,
    /// Declared parameters, a JSON object.
    pub params: Value,
    /// The role whose rights the query has.
    pub run_as: String,
    /// Roles whose members may request it.
    pub requesters: Option<Vec<String>>,
    /// Formats that it is made in.
    pub formats: Option<Vec<String>>,
    /// Most data rows.
    pub max_rows: Option<i64>,
    /// Most bytes as stored.
    pub max_bytes: Option<i64>,
    /// The longest one attempt may take.
    pub timeout: Option<Duration>,
    /// Domains that may get a mail.
    pub recipient_domains: Option<Vec<String>>,
    /// Most addresses of one request.
    pub max_recipients: Option<i32>,
    /// How long the bucket keeps its files.
    pub object_life: Option<Duration>,
    /// The key that its files are encrypted with.
    pub kms_key: Option<String>,
    /// Follows the daemon's prefix in the keys of its files.
    pub prefix: Option<String>,
    /// Where its query runs; none: the default source.
    pub source: Option<String>,
    /// The column by whose ranges several backends export it.
    pub split_key: Option<String>,
}

/// What a registration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The version that requests get from now on.
    pub version: i32,
    /// The same definition was there already: nothing was changed.
    pub is_unchanged: bool,
    /// What would export it, as far as the database knows.
    pub expected: Option<ExpectedExporter>,
}

/// What a row says of a report's exporter.
fn expected(row: &Row) -> ExpectedExporter {
    ExpectedExporter {
        exporter: Some(if row.get("is_in_database") { "aws_s3" } else { "copy" }),
        reason: row.get("reason"),
        sentence: row.get("sentence"),
        what_to_do: row.get("what_to_do"),
        has_split_key: row.get("has_split_key"),
    }
}

impl Admin {
    /// Register all of these reports or none. A dry run checks everything and takes it back. With the types of a report's columns it is known
    /// whether it can be sealed.
    ///
    /// # Errors
    /// `Refused` says what is wrong, after the name of the report; or why the database cannot be asked.
    pub async fn register_reports(
        &self,
        definitions: &[ReportDefinition],
        types: &[Vec<u32>],
        dry_run: bool,
    ) -> Result<Vec<Registered>, (String, DatabaseError)> {
        let outside = |error: DatabaseError| (String::new(), error);
        let mut connection = self.pool.connection().await.map_err(outside)?;
        let registering = async {
            let transaction = connection.transaction().await.map_err(|error| outside(error.into()))?;
            let mut registered = Vec::new();
            for (position, definition) in definitions.iter().enumerate() {
                let (timeout, life) = (definition.timeout.map(ms), definition.object_life.map(ms));
                let params: [&(dyn ToSql + Sync); 17] = [
                    &definition.name,
                    &definition.query,
                    &definition.params,
                    &definition.run_as,
                    &definition.description,
                    &definition.requesters,
                    &definition.formats,
                    &definition.max_rows,
                    &definition.max_bytes,
                    &timeout,
                    &definition.recipient_domains,
                    &definition.max_recipients,
                    &life,
                    &definition.kms_key,
                    &definition.prefix,
                    &definition.source,
                    &definition.split_key,
                ];
                let row = transaction.query_typed_one(sql::REGISTER_REPORT, &sql::typed(sql::REGISTER_REPORT, &params)).await;
                let row = row.map_err(|error| (definition.name.clone(), error.into()))?;
                let version: i32 = row.get("version");
                let types = types.get(position);
                let asked: [&(dyn ToSql + Sync); 3] = [&definition.name, &Some(version), &types];
                let exporter = transaction.query_typed_opt(sql::REPORT_EXPORTER, &sql::typed(sql::REPORT_EXPORTER, &asked)).await;
                let exporter = exporter.map_err(|error| (definition.name.clone(), error.into()))?;
                let is_unchanged = row.get::<_, Option<i32>>("before") == Some(version);
                registered.push(Registered { version, is_unchanged, expected: exporter.as_ref().map(expected) });
            }
            let ended = if dry_run { transaction.rollback().await } else { transaction.commit().await };
            ended.map_err(|error| outside(error.into()))?;
            Ok(registered)
        };
        match tokio::time::timeout(self.pool.patience(), registering).await {
            Ok(registered) => registered,
            Err(_) => Err(outside(self.pool.give_up(connection))),
        }
    }

    /// Take no new requests for a report. Returns the version that is disabled.
    ///
    /// # Errors
    /// `Refused` when there is no such report; or why the database cannot be asked.
    pub async fn disable_report(&self, name: &str) -> Result<i32, DatabaseError> {
        let row = self.pool.query_opt(sql::DISABLE_REPORT, &[&name]).await?;
        Ok(row.map(|row| row.get("version")).unwrap_or_default())
    }

    /// The current version of every report: rows of `exportbox.reports`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn reports(&self) -> Result<Vec<Value>, DatabaseError> {
        Ok(self.pool.query(sql::LIST_REPORTS, &[]).await?.iter().map(|row| row.get("report")).collect())
    }

    /// One version of a report, or its current one: a row of `exportbox.reports`. `None`: there is none, or the caller may not see it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn report(&self, name: &str, version: Option<i32>) -> Result<Option<Value>, DatabaseError> {
        Ok(self.pool.query_opt(sql::SHOW_REPORT, &[&name, &version]).await?.map(|row| row.get("report")))
    }

    /// What would export this report's files, as far as the database knows; with the types of its columns it is known whether it can be sealed.
    /// `None`: there is no such report.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn report_exporter(
        &self,
        name: &str,
        version: Option<i32>,
        types: Option<&[u32]>,
    ) -> Result<Option<ExpectedExporter>, DatabaseError> {
        Ok(self.pool.query_opt(sql::REPORT_EXPORTER, &[&name, &version, &types]).await?.as_ref().map(expected))
    }

    /// The same of every current report that takes requests, by name.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn report_exporters(&self) -> Result<Vec<(String, ExpectedExporter)>, DatabaseError> {
        Ok(self.pool.query(sql::REPORT_EXPORTERS, &[]).await?.iter().map(|row| (row.get("name"), expected(row))).collect())
    }

    /// Make the function that is a report, for exports inside the database. Returns its name; done already, it does nothing.
    ///
    /// # Errors
    /// `Refused` says why it cannot be sealed; or why the database cannot be asked.
    pub async fn seal_report(&self, name: &str, version: Option<i32>) -> Result<String, DatabaseError> {
        let row = self.pool.query_opt(sql::SEAL_REPORT, &[&name, &version]).await?;
        Ok(row.map(|row| row.get("sealed")).unwrap_or_default())
    }

    /// Check the values of a request's parameters and return them as text, as the outbox does at INSERT.
    ///
    /// # Errors
    /// `Refused` as a request would be; or why the database cannot be asked.
    pub async fn read_report_params(&self, name: &str, declared: &Value, given: &Value) -> Result<Vec<(String, String)>, DatabaseError> {
        let row = self.pool.query_opt(sql::READ_REPORT_PARAMS, &[&name, &declared, &given]).await?;
        let params: Option<Value> = row.and_then(|row| row.get("params"));
        let Some(Value::Object(params)) = params else { return Ok(Vec::new()) };
        Ok(params.into_iter().map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), ToString::to_string))).collect())
    }
}
