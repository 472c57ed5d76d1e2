//! How one statement is run over a connection of the pool.
//!
//! Without a pooler, a statement is sent without a name the first time, which is one round trip: many processes run it only once. From the second
//! time on it is prepared, once per connection, and run by its name. Behind a pooler in transaction mode, the next statement may run on another
//! server connection, where that name is unknown or names another statement. There each statement is sent without a name, together with a
//! transaction that sets the time limits, in one round trip.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use deadpool_postgres::Object;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row};

use super::Pool;
use super::error::is_stale_plan;
use crate::sql::{self, typed};

/// The statements that this process has asked, by the address of their text.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<HashSet<usize>>);

impl Asked {
    fn has(&self, statement: &'static str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&statement.as_ptr().addr())
    }

    /// Whether it had been asked before.
    fn note(&self, statement: &'static str) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(statement.as_ptr().addr())
    }
}

impl Pool {
    /// Run one statement and return its rows.
    pub(crate) async fn ask(
        &self,
        connection: &Object,
        statement: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        if self.is_pooled() {
            limited(connection, statement, params).await
        } else if self.asked.note(statement) {
            prepared(connection, statement, params).await
        } else {
            connection.query_typed(statement, &typed(statement, params)).await
        }
    }

    /// Prepare those of these statements that were run before, so that running them later needs no further round trip.
    pub(crate) async fn prepare(&self, connection: &Object, statements: &[&'static str]) -> Result<(), Error> {
        for statement in statements {
            if !self.is_pooled() && self.asked.has(statement) {
                connection.prepare_cached(statement).await?;
            }
        }
        Ok(())
    }
}

async fn prepared(connection: &Object, statement: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
    let known = connection.prepare_cached(statement).await?;
    match connection.query(&known, params).await {
        Err(error) if is_stale_plan(&error) => {
            connection.statement_cache.clear();
            let anew = connection.prepare_cached(statement).await?;
            connection.query(&anew, params).await
        }
        rows => rows,
    }
}

/// All four are sent at once, in this order. When the statement fails the commit only ends the transaction.
async fn limited(connection: &Client, statement: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
    let params = typed(statement, params);
    let (begun, limited, rows, ended) = tokio::join!(
        connection.batch_execute("begin"),
        connection.query_typed(sql::LIMITS, &[]),
        connection.query_typed(statement, &params),
        connection.batch_execute("commit"),
    );
    begun?;
    limited?;
    let rows = rows?;
    // When the commit fails, nothing was done, and the caller must know.
    ended?;
    Ok(rows)
}
