//! What a statement reads, as the server counts it.

use serde_json::Value;
use tokio_postgres::Client;

use super::jobs::statement;

/// Every node of a plan.
pub fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

/// The plan of one of our statements, with EXPLAIN's other options.
pub async fn plan(client: &Client, options: &str, name: &str, arguments: &str) -> Value {
    client.batch_execute(&format!("prepare planned as {}", statement(name))).await.unwrap();
    let explain = format!("explain (format json{options}) execute planned {arguments}");
    let row = client.query_one(&explain, &[]).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    client.batch_execute("deallocate planned").await.unwrap();
    row.get::<_, Value>(0)[0].take()
}

/// Pages that a plan has read, from memory or not.
pub fn pages(plan: &Value) -> u64 {
    ["Shared Hit Blocks", "Shared Read Blocks"].iter().filter_map(|name| plan["Plan"][name].as_u64()).sum()
}

/// Pages that one run of the statement reads. What it changes is rolled back.
pub async fn pages_of(client: &Client, name: &str, arguments: &str) -> u64 {
    client.batch_execute("begin").await.unwrap();
    let plan = plan(client, ", analyze, buffers", name, arguments).await;
    client.batch_execute("rollback").await.unwrap();
    pages(&plan)
}
