//! How many rows an export may bring, as the server's planner guesses it: for people who wait, and never a reason for an export to fail.

use futures_util::future::join3;
use serde_json::Value;

use super::Session;
use super::classify::{self, Phase};
use super::shape::explained;
use crate::job::{ExportJob, Failure, FailureClass};
use crate::sql;

impl Session {
    /// The planner's guess, one round trip. `None`: it cannot plan the query as it stands, and running the query will say why.
    ///
    /// # Errors
    /// The time is up, or a lock is not to be had: the query would only wait for it once more.
    pub async fn expected_rows(&self, job: &ExportJob) -> Result<Option<i64>, Failure> {
        let explain = explained(&job.query);
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
}

fn rows_of(plan: &Value) -> Option<i64> {
    let rows = plan[0]["Plan"]["Plan Rows"].as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "a guess beyond the largest number is the largest number")]
    Some(rows as i64)
}
