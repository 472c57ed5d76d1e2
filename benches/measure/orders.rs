//! The business data of the export cases: a table of orders of some 120 bytes each, and requests for them.

use anyhow::Context;
use tokio::process::Command;

use super::process::{self, Ran};
use super::stand::Stand;

/// What is exported: numbers, a date, and text that compresses as text does.
pub const ALL: &str = "select id, customer, status, amount, placed_at, reference, note from business.orders";

/// Rows that are made at once: one line of progress each.
const BATCH: usize = 1_000_000;

/// Build the table, with its key. Not logged: it is only read.
pub async fn build(stand: &Stand, rows: usize) -> anyhow::Result<()> {
    let table = "create unlogged table business.orders
                     (id bigint, customer integer, status text, amount numeric(12, 2), placed_at timestamptz, reference text, note text);
                 alter table business.orders owner to app";
    stand.admin.batch_execute(table).await?;
    for first in (0..rows).step_by(BATCH) {
        let last = (first + BATCH).min(rows);
        let fill = format!(
            "insert into business.orders
             select n, n % 100003, (array['paid', 'shipped', 'returned'])[(1 + n % 3)::int], (n * 7919 % 1000000) / 100.0,
                 timestamptz '2026-01-01 00:00:00+00' + n * interval '1.5 seconds', md5(n::text),
                 'leave it at the back door, ring ' || n % 5 || ' times'
             from generate_series({}::bigint, {last}) as n",
            first + 1
        );
        stand.admin.batch_execute(&fill).await?;
        if rows > BATCH {
            eprintln!("          {last} of {rows} orders are there");
        }
    }
    // All that a first reader would otherwise do in the middle of a figure.
    stand.admin.batch_execute("alter table business.orders add primary key (id)").await?;
    stand.admin.batch_execute("vacuum (freeze, analyze) business.orders").await?;
    stand.admin.batch_execute("checkpoint").await.context("write it out")
}

/// Request a file of a query, as the application does: nobody is mailed.
pub async fn request(stand: &Stand, query: &str, format: &str, compression: &str) -> anyhow::Result<()> {
    let app = stand.connect(&stand.app_url()).await?;
    let insert = "insert into exportbox.outbox (query, format, compression) values ($1, $2, $3)";
    app.execute(insert, &[&query, &format, &compression]).await.context("request an export")?;
    Ok(())
}

/// Run `exportbox drain` over what was requested; everything must be completed by then.
pub async fn drain(stand: &Stand, set: &[(&str, &str)]) -> anyhow::Result<Ran> {
    let ran = process::run(stand.program(&["drain"], set)).await?;
    let left: i64 = stand.admin.query_one("select count(*) from exportbox.job where state <> 'completed'", &[]).await?.get(0);
    anyhow::ensure!(left == 0, "{left} jobs were not completed");
    Ok(ran)
}

/// Size of the newest file, bytes.
pub async fn newest_bytes(stand: &Stand) -> anyhow::Result<f64> {
    let newest = "select bytes::float8 from exportbox.exports order by requested_at desc limit 1";
    stand.admin.query_one(newest, &[]).await?.try_get(0).context("find the newest file")
}

/// The rows of a query as psql throws them away.
pub fn psql(stand: &Stand, query: &str, options: &str) -> anyhow::Result<Command> {
    let mut psql = stand.client_program("psql")?;
    psql.args([&stand.app_url(), "-X", "-q", "-c", &format!("copy ({query}) to stdout {options}")]);
    // As an export has it.
    psql.env("PGTZ", "UTC").stdout(std::process::Stdio::null());
    Ok(psql)
}
