//! How one statement is asked over a connection of the pool.
//!
//! Directly: prepared once per connection, by name. Behind a pooler in transaction mode the next statement may run on another server
//! connection, where that name means nothing or, worse, another statement: there each is sent unnamed, in a transaction that sets its own
//! limits, in one round trip.

use deadpool_postgres::Object;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row};

use super::error::is_stale_plan;
use crate::sql::{self, typed};

/// Run one statement and return its rows.
pub(super) async fn ask(
    connection: &Object,
    is_pooled: bool,
    statement: &'static str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    if is_pooled { unnamed(connection, statement, params).await } else { prepared(connection, statement, params).await }
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
async fn unnamed(connection: &Client, statement: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
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
    // Not committed, not done: whoever asked must hear of it.
    ended?;
    Ok(rows)
}
