//! What the application does: each request in the words that an application would use.

use anyhow::Context;
use serde_json::Value;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::Claims;
use super::daemon::Process;
use crate::sandbox::{DAEMON, Sandbox};

/// Rows of the large export.
pub(super) const LARGE_ROWS: u64 = 1_200_001;
const BULK: i64 = 24;
const WAREHOUSE: &str = "warehouse";
/// Its report.
const STOCK: &str = "select * from stock order by id";

/// What should become of a request.
pub(super) enum Expect {
    Completed,
    Dead(&'static str),
    Cancelled,
}

/// One request of the story.
pub(super) struct Request {
    pub label: String,
    pub id: Uuid,
    /// Who asked: the proof runs the same query with the same rights.
    pub role: &'static str,
    pub query: String,
    pub customer: Option<i32>,
    pub format: &'static str,
    pub gzip: bool,
    pub mails: usize,
    pub is_large: bool,
    pub expect: Expect,
}

impl Request {
    fn new(label: impl Into<String>, id: Uuid, query: &str, mails: usize, expect: Expect) -> Request {
        Request {
            label: label.into(),
            id,
            role: "app",
            query: query.into(),
            customer: None,
            format: "csv",
            gzip: false,
            mails,
            is_large: false,
            expect,
        }
    }
}

/// The shop's connections.
pub(super) struct Shop<'a> {
    admin: &'a Client,
    pub app_url: String,
    pub warehouse_url: String,
    pub database: String,
}

/// A connection of the application.
pub(super) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("connect as the application")?;
    tokio::spawn(connection);
    Ok(client)
}

impl<'a> Shop<'a> {
    /// Create the shop and a second application role, which exports inside the database.
    pub(super) async fn open(sandbox: &Sandbox, app_url: &str, database: &str, admin: &'a Client) -> anyhow::Result<Shop<'a>> {
        let app = connect(app_url).await?;
        app.batch_execute(include_str!("shop.sql")).await.context("fill the shop")?;
        let setup = format!(
            "create role {WAREHOUSE} login password '{WAREHOUSE}';
             grant exportbox_requester to {WAREHOUSE};
             grant {WAREHOUSE} to {DAEMON};
             grant select on stock to {WAREHOUSE}"
        );
        admin.batch_execute(&setup).await.context("create the warehouse's role")?;
        // Only the worker may call aws_s3, and the report still has the rights of the warehouse's role.
        sandbox.grant_aws_s3(admin, DAEMON).await?;
        let register = "select exportbox.register_report(name => 'stock', query => $1, run_as => $2)";
        admin.execute(register, &[&STOCK, &WAREHOUSE]).await.context("register the warehouse's report")?;
        admin.batch_execute("select exportbox.seal_report('stock')").await.context("seal the warehouse's report")?;
        Ok(Shop {
            admin,
            app_url: app_url.to_string(),
            warehouse_url: sandbox.postgres.url(WAREHOUSE, WAREHOUSE, database),
            database: database.to_string(),
        })
    }

    pub(super) async fn play(&self, claims: &mut Claims, daemon: &Process) -> anyhow::Result<Vec<Request>> {
        let mut app = connect(&self.app_url).await?;
        let mut requests = vec![self.in_one_transaction(&mut app, claims).await?];
        self.rolled_back(&mut app, claims).await?;

        claims.say("  a large export: every order, over a million rows");
        let query = "select * from orders order by id";
        let id = one_id(
            &app,
            "insert into exportbox.outbox (query, recipients, filename) values ($1, '{cfo@example.com}', 'orders.csv') returning id",
            &[&query],
        )
        .await?;
        requests.push(Request { is_large: true, ..Request::new("the large export", id, query, 1, Expect::Completed) });

        claims.say("  the same month compressed, as JSON Lines, through request_export()");
        let query = "select * from orders where placed_at < '2025-02-01' order by id";
        let id = one_id(&app, "select exportbox.request_export(query => $1, recipients => '{data@example.com}', format => 'jsonl', compression => 'gzip', filename => 'january.jsonl')", &[&query]).await?;
        requests.push(Request { format: "jsonl", gzip: true, ..Request::new("JSON Lines, gzip", id, query, 1, Expect::Completed) });

        claims.say("  a report inside the database: the worker calls aws_s3.query_export_to_s3, the query has the warehouse's rights");
        let warehouse = connect(&self.warehouse_url).await?;
        let id = one_id(
            &warehouse,
            "insert into exportbox.outbox (report, recipients, filename) values ('stock', '{warehouse@example.com}', 'stock.csv') returning id",
            &[],
        )
        .await?;
        requests.push(Request { role: WAREHOUSE, ..Request::new("the export inside the database", id, STOCK, 1, Expect::Completed) });

        requests.extend(self.in_bulk(&app, claims).await?);

        claims.say("  a query with a mistake in it");
        let query = "select customer, sum(totall) from orders group by 1";
        let id = one_id(&app, "insert into exportbox.outbox (query, recipients) values ($1, '{oops@example.com}') returning id", &[&query])
            .await?;
        requests.push(Request::new("the bad query", id, query, 0, Expect::Dead("query")));

        claims.say("  a query that would take hours, cancelled while it runs");
        let query = "select pg_sleep(7200)";
        let id = one_id(
            &app,
            "insert into exportbox.outbox (query, recipients, priority) values ($1, '{slow@example.com}', 0::smallint) returning id",
            &[&query],
        )
        .await?;
        requests.push(Request::new("the cancelled export", id, query, 0, Expect::Cancelled));
        self.cancel_once_running(&app, id, daemon).await?;
        Ok(requests)
    }

    async fn in_one_transaction(&self, app: &mut Client, claims: &mut Claims) -> anyhow::Result<Request> {
        claims.say("  begin; insert an order; update the stock; insert into exportbox.outbox; commit");
        let query = "select id, name, joined from customers order by id";
        let transaction = app.transaction().await?;
        transaction
            .batch_execute("insert into orders (customer_id, article_id, placed_at, total) values (7, 42, '2027-01-01', 99.50)")
            .await?;
        transaction.batch_execute("update stock set pieces = pieces - 1 where id = 42").await?;
        let row = transaction
            .query_one(
                "insert into exportbox.outbox (query, recipients, filename, subject, message)
                 values ($1, '{ann@example.com,bob@example.com}', 'Kunden März.csv', 'Your customers', 'As asked for on the phone.') returning id",
                &[&query],
            )
            .await?;
        transaction.commit().await?;
        Ok(Request::new("the request in a business transaction", row.get(0), query, 2, Expect::Completed))
    }

    async fn rolled_back(&self, app: &mut Client, claims: &mut Claims) -> anyhow::Result<()> {
        claims.say("  the same, rolled back");
        let transaction = app.transaction().await?;
        transaction.batch_execute("update stock set pieces = pieces - 1 where id = 43").await?;
        transaction
            .batch_execute(
                "insert into exportbox.outbox (query, recipients, subject) values ('select 1', '{nobody@example.com}', 'rolled back')",
            )
            .await?;
        transaction.rollback().await?;
        Ok(())
    }

    async fn in_bulk(&self, app: &Client, claims: &mut Claims) -> anyhow::Result<Vec<Request>> {
        claims.say(&format!("  one statement that inserts {BULK} requests, one for each of {BULK} customers"));
        let query = "select id, placed_at, total from orders where customer_id = exportbox.param('customer')::int order by id";
        // An application may read back only the id and the key of its own rows.
        let rows = app
            .query(
                "insert into exportbox.outbox (query, params, recipients, filename, idempotency_key)
                 select $1, jsonb_build_object('customer', id), array[email], 'orders-' || id || '.csv', 'statement-' || id
                 from customers order by id limit $2
                 on conflict do nothing
                 returning id, split_part(idempotency_key, '-', 2)::int",
                &[&query, &BULK],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| {
                let customer: i32 = row.get(1);
                Request {
                    customer: Some(customer),
                    ..Request::new(format!("bulk, customer {customer}"), row.get(0), query, 1, Expect::Completed)
                }
            })
            .collect())
    }

    async fn cancel_once_running(&self, app: &Client, id: Uuid, daemon: &Process) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        while self.backends_of(id).await? == 0 {
            let in_time = tokio::time::Instant::now() < deadline && daemon.is_alive();
            anyhow::ensure!(in_time, "the export to cancel did not start; the daemon's log:\n{}", daemon.tail());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        app.query_one("select exportbox.cancel($1)", &[&id]).await.context("cancel")?;
        Ok(())
    }

    /// Server processes that run this export's query.
    async fn backends_of(&self, id: Uuid) -> anyhow::Result<i64> {
        let name = format!("exportbox export {id}");
        let row = self
            .admin
            .query_one("select count(*) from pg_stat_activity where application_name = $1 and query ilike 'copy%'", &[&name])
            .await?;
        Ok(row.get(0))
    }

    /// The exports' rows of the view, in the order of the requests.
    pub(super) async fn exports(&self, requests: &[Request]) -> anyhow::Result<Vec<Value>> {
        let ids: Vec<Uuid> = requests.iter().map(|request| request.id).collect();
        let rows = self
            .admin
            .query("select to_jsonb(e) from unnest($1::uuid[]) with ordinality as asked (id, place) join exportbox.exports as e using (id) order by place", &[&ids])
            .await?;
        anyhow::ensure!(rows.len() == ids.len(), "the view shows {} of {} requests", rows.len(), ids.len());
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    pub(super) async fn check_rollback_and_cancel(&self, claims: &mut Claims, requests: &[Request]) -> anyhow::Result<()> {
        let row = self.admin.query_one("select count(*) from exportbox.outbox where subject = 'rolled back'", &[]).await?;
        claims.check("the rolled-back request left nothing", row.get::<_, i64>(0) == 0);
        let jobs = self.admin.query_one("select count(*) from exportbox.jobs where kind = 'export'", &[]).await?;
        claims.check("there is exactly one export job for each committed request", jobs.get::<_, i64>(0) == i64::try_from(requests.len())?);
        for request in requests.iter().filter(|request| matches!(request.expect, Expect::Cancelled)) {
            claims.check("the cancelled query is gone from the server", self.backends_of(request.id).await? == 0);
        }
        let row = self
            .admin
            .query_one("select count(*) from exportbox.attempts where exporter = 'aws_s3' and outcome = 'completed'", &[])
            .await?;
        claims.check("aws_s3 wrote the warehouse's file inside the database", row.get::<_, i64>(0) == 1);
        Ok(())
    }
}

async fn one_id(client: &Client, statement: &str, params: &[&(dyn ToSql + Sync)]) -> anyhow::Result<Uuid> {
    Ok(client.query_one(statement, params).await.context("insert a request")?.get(0))
}
