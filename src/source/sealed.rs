//! A report as a function with its role's rights (V8): what lets the worker call aws_s3 and lend its own rights to nothing in the query.

use super::Session;
use super::classify::{self, Phase};
use super::session::Column;
use super::shape::{bare, sealed_call};
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
        let query = bare(&job.query);
        let row = self.client.query_typed_opt(sql::SEALED_REPORT, &sql::typed(sql::SEALED_REPORT, &[name, &job.run_as, &query])).await;
        let Some(row) = row.map_err(|error| classify::failure(&error, Phase::Open))? else { return Ok(None) };
        let columns = self.describe(query).await?;
        let types: Vec<u32> = row.get("types");
        let same = columns.iter().map(|column| column.data_type.oid()).eq(types);
        Ok(same.then(|| Sealed { call: sealed_call(name, &columns), columns }))
    }
}
