//! A report as a function with its role's rights (V8): what lets the worker call aws_s3 and lend its own rights to nothing in the query. Nothing
//! here reads the report's text, which alone can run code: what the columns are, its function says.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::Session;
use super::classify::{self, Phase};
use crate::job::{Column, ExportJob, Failure, bare, quote_identifier};
use crate::sql;

/// A sealed report that may be exported by the login.
#[derive(Debug)]
pub struct Sealed {
    /// The SELECT that calls it.
    pub call: String,
    /// What the call gives, named as the report names it.
    pub columns: Vec<Column>,
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
            // guard: other columns
            Err(error) if error.code() == Some(&SqlState::DATATYPE_MISMATCH) => {
                self.client.batch_execute("rollback to savepoint sealed").await.map_err(failed)?;
                Ok(false)
            }
            answer => answer.map(|()| true).map_err(failed),
        }
    }
}

/// The call of a sealed report. In the select list, and not flattened: so the server takes row by row from the function. In FROM it would
/// first store them all.
fn sealed_call(name: &str, columns: &[Column]) -> String {
    let cell = |column: &Column| {
        let heading = quote_identifier(&column.name);
        // A function of one column gives the value itself, not a row.
        if columns.len() == 1 { format!("sealed.line as {heading}") } else { format!("(sealed.line).{heading}") }
    };
    let list: Vec<String> = columns.iter().map(cell).collect();
    format!("select {} from (select exportbox.{}() as line offset 0) as sealed", list.join(", "), quote_identifier(name))
}

/// The call that fails when the types of a sealed report's columns have changed.
fn sealed_fits(name: &str) -> String {
    format!("select from exportbox.{}()", quote_identifier(&format!("{name}_fits")))
}

/// What that function's body is: `exportbox.sealed_check` writes it.
fn sealed_check(name: &str) -> String {
    format!(
        "begin return query execute pg_catalog.format(E'select * from (\\n%s\\n) as q limit 0', \
         (select prosrc from pg_catalog.pg_proc where oid = 'exportbox.{name}()'::regprocedure)); end"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, data_type: Type) -> Column {
        Column { name: name.into(), data_type, origin: None }
    }

    #[test]
    fn a_sealed_report_keeps_its_headings() {
        let call = sealed_call("sealed_a_1", &[column("n", Type::INT4), column("a\"b", Type::INT4)]);
        assert_eq!(
            call,
            "select (sealed.line).\"n\", (sealed.line).\"a\"\"b\" from (select exportbox.\"sealed_a_1\"() as line offset 0) as sealed"
        );
        assert!(sealed_call("sealed_a_1", &[column("a\"b", Type::TEXT)]).starts_with("select sealed.line as \"a\"\"b\" from "));
    }
}
