//! A report as a function with its role's rights (V8): what lets the worker call aws_s3 and lend its own rights to nothing in the query. Nothing
//! here reads the report's text, which alone can run code: what the columns are, its function says.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::Session;
use super::classify::{self, Phase};
use super::session::Column;
use super::shape::{bare, sealed_call, sealed_check, sealed_fits};
use crate::job::{ExportJob, Failure};
use crate::sql;

/// A sealed report that may be exported by the login.
#[derive(Debug)]
pub struct Sealed {
    /// The SELECT that calls it.
    pub(super) call: String,
    /// What the call gives, named as the report names it.
    pub(super) columns: Vec<Column>,
}

impl Session {
    /// The report of this export as its sealed function. `None`: it has none, it is no longer what was sealed, its columns have other types by
    /// now, or the login may not call aws_s3.
    ///
    /// # Errors
    /// The query's own fault, most likely.
    pub async fn sealed(&self, job: &ExportJob) -> Result<Option<Sealed>, Failure> {
        let Some(name) = &job.sealed else { return Ok(None) };
        let (query, check) = (bare(&job.query), sealed_check(name));
        let params = sql::typed(sql::SEALED_REPORT, &[name, &job.run_as, &query, &check]);
        let row = self.client.query_typed_opt(sql::SEALED_REPORT, &params).await;
        let Some(row) = row.map_err(|error| classify::failure(&error, Phase::Open))? else { return Ok(None) };
        let (types, names): (Vec<u32>, Vec<String>) = (row.get("types"), row.get("names"));
        let columns = types.into_iter().zip(names).map(|(oid, name)| Some(Column { name, data_type: Type::from_oid(oid)?, origin: None }));
        let Some(columns) = columns.collect::<Option<Vec<_>>>() else { return Ok(None) };
        Ok(self.still_fits(name).await?.then(|| Sealed { call: sealed_call(name, &columns), columns }))
    }

    /// Whether the report's columns have the types that they had when it was sealed. An SQL function would cast what has changed, and round it.
    async fn still_fits(&self, name: &str) -> Result<bool, Failure> {
        let failed = |error: tokio_postgres::Error| classify::failure(&error, Phase::Query);
        self.client.batch_execute("savepoint sealed").await.map_err(failed)?;
        match self.client.batch_execute(&sealed_fits(name)).await {
            Err(error) if error.code() == Some(&SqlState::DATATYPE_MISMATCH) => {
                self.client.batch_execute("rollback to savepoint sealed").await.map_err(failed)?;
                Ok(false)
            }
            answer => answer.map(|()| true).map_err(failed),
        }
    }
}
