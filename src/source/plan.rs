//! What the server's planner and its statistics say of a query. Asked within a savepoint: no answer ends the transaction.

use futures_util::future::join3;
use serde_json::Value;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

use super::Session;
use super::classify::{self, Phase};
use super::copy::Bounds;
use crate::job::{Failure, FailureClass, bare};
use crate::sql;

/// How long one question may take.
const PATIENCE_MS: &str = "2000";

impl Session {
    /// How many rows the planner expects, in one round trip. `None`: it cannot plan the query as it stands, and running the query will say why.
    ///
    /// # Errors
    /// The time is up, or a lock is not to be had: the query would only wait for it once more.
    pub async fn expected_rows(&self, query: &str) -> Result<Option<i64>, Failure> {
        let explain = explained(query);
        // As one statement by the extended protocol: what breaks out of the parentheses is planned at most, never run.
        let planned = join3(
            self.client.batch_execute(sql::BEFORE_ESTIMATE),
            self.client.query_typed_one(&explain, &[]),
            self.client.batch_execute(sql::AFTER_ESTIMATE),
        );
        match planned.await.1 {
            Ok(row) => Ok(rows_of(&row.get(0))),
            Err(error) => {
                let failure = classify::failure(&error, Phase::Query);
                if matches!(failure.class, FailureClass::Timeout | FailureClass::SourceOverloaded) { Err(failure) } else { Ok(None) }
            }
        }
    }

    /// The plan of a query that has been parsed alone, as EXPLAIN has it.
    ///
    /// # Errors
    /// The query's own fault, most likely. The transaction is of no further use then.
    pub async fn explain(&self, query: &str) -> Result<Value, Failure> {
        let row = self.client.query_one(&explained(query), &[]).await;
        Ok(row.map_err(|error| classify::failure(&error, Phase::Query))?.get(0))
    }

    /// The plan of a query, with what each node gives. `None`: no answer came.
    pub async fn plan(&self, query: &str) -> Option<Value> {
        self.trying(async || self.planned(query).await).await
    }

    /// The same of a query that reads these bounds.
    pub async fn plan_between(&self, query: &str, bounds: Bounds<'_>) -> Option<Value> {
        self.trying(async || self.planned_between(query, bounds).await).await
    }

    /// The same where a range of a table's blocks is read rather than an index.
    pub async fn plan_by_blocks(&self, query: &str, bounds: Bounds<'_>) -> Option<Value> {
        let planning = async || {
            self.client.batch_execute(sql::READ_BY_BLOCKS).await?;
            self.planned_between(query, bounds).await
        };
        self.trying(planning).await
    }

    /// The text in the one column and row of a query that reads these bounds. `None`: there is none, or finding it would cost more.
    pub async fn value_between(&self, query: &str, bounds: Bounds<'_>, most_cost: f64) -> Option<String> {
        let asking = async || {
            let plan = self.planned_between(query, bounds).await?;
            if plan["Total Cost"].as_f64().is_none_or(|cost| cost > most_cost) {
                return Ok(None);
            }
            Ok(self.client.query_typed_opt(query, &[]).await?.and_then(|row| row.get::<_, Option<String>>(0)))
        };
        self.trying(asking).await.flatten()
    }

    /// What a statement makes of a list of texts.
    pub async fn texts(&self, statement: &str, texts: &[String]) -> Option<Vec<String>> {
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&texts, Type::TEXT_ARRAY)];
        let row = self.trying(async || self.client.query_typed_one(statement, &params).await).await?;
        row.get(0)
    }

    /// The values of a table's column that the statistics hold as bounds of its histogram.
    pub async fn histogram_bounds(&self, table: u32, column: i16) -> Vec<String> {
        let table = i64::from(table);
        let params = sql::typed(sql::KEY_HISTOGRAM, &[&table, &column]);
        let row = self.trying(async || self.client.query_typed_opt(sql::KEY_HISTOGRAM, &params).await).await;
        row.flatten().and_then(|row| row.get("bounds")).unwrap_or_default()
    }

    /// How many blocks a table has.
    pub async fn table_blocks(&self, schema: &str, name: &str) -> Option<i64> {
        let params = sql::typed(sql::TABLE_BLOCKS, &[&schema, &name]);
        let row = self.trying(async || self.client.query_typed_one(sql::TABLE_BLOCKS, &params).await).await?;
        Some(row.get("blocks"))
    }

    /// Ask something that must not end the transaction. `None`: no answer came.
    async fn trying<T>(&self, ask: impl AsyncFnOnce() -> Result<T, Error>) -> Option<T> {
        let params = sql::typed(sql::LIMIT_ESTIMATE, &[&PATIENCE_MS]);
        let (begun, limited) =
            tokio::join!(self.client.batch_execute(sql::BEFORE_ESTIMATE), self.client.query_typed(sql::LIMIT_ESTIMATE, &params));
        begun.and(limited.map(drop)).ok()?;
        let answer = ask().await;
        self.client.batch_execute(sql::AFTER_ESTIMATE).await.ok()?;
        let failed = |error| tracing::debug!(error.class = %classify::failure(&error, Phase::Query).class, "the planner gave no answer");
        answer.map_err(failed).ok()
    }

    async fn planned(&self, query: &str) -> Result<Value, Error> {
        // In parentheses as COPY has it, so that nothing that writes is planned.
        let explain = format!("explain (format json, verbose) select * from (\n{}\n) as line", bare(query));
        let row = self.client.query_typed_one(&explain, &[]).await?;
        Ok(row.get::<_, Value>(0)[0]["Plan"].take())
    }

    async fn planned_between(&self, query: &str, bounds: Bounds<'_>) -> Result<Value, Error> {
        self.set_bounds(bounds).await?;
        self.planned(query).await
    }
}

fn explained(query: &str) -> String {
    format!("explain (format json) select * from (\n{}\n) as line", bare(query))
}

fn rows_of(plan: &Value) -> Option<i64> {
    let rows = plan[0]["Plan"]["Plan Rows"].as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "a guess beyond the largest number is the largest number")]
    Some(rows as i64)
}
