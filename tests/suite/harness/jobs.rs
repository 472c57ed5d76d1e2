//! Jobs put into any state by hand, and everything the job tables say, for tests of single statements.

use exportbox::job::{Kind, State};
use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// A job in a state of the test's choice. Its worker is `other`.
#[derive(Debug, Clone, Copy)]
pub struct Planted {
    pub id: Uuid,
    pub export_id: Uuid,
    /// What its lease is or would be.
    pub token: Uuid,
}

/// Plant a job, with its attempt when it runs, and with a finished export beside it when it is a message.
pub async fn plant(client: &Client, kind: Kind, state: State) -> Planted {
    let (export_id, token) = (Uuid::new_v4(), Uuid::new_v4());
    let run = async |query: &str, params: &[&(dyn ToSql + Sync)]| client.query_one(query, params).await.unwrap();
    run("insert into exportbox.outbox (id, query, recipients) values ($1, 'select 1', '{ann@example.com}') returning id", &[&export_id])
        .await;
    let mut id = export_id;
    if kind == Kind::Message {
        client.execute("update exportbox.job set state = 'completed', finished_at = now() where id = $1", &[&id]).await.unwrap();
        id = Uuid::new_v4();
        run("insert into exportbox.job (id, export_id, kind) values ($1, $2, 'message') returning id", &[&id, &export_id]).await;
        run("insert into exportbox.message (id, origin, recipient) values ($1, 'export', 'ann@example.com') returning id", &[&id]).await;
    }
    let put = "update exportbox.job set state = $2, attempt = 1, leases = 1,
            finished_at = case when $3 then now() end,
            error_class = case when $2 = 'dead' then 'query' end, error = case when $2 = 'dead' then 'Planted.' end,
            lease_token = case when $2 = 'running' then $4::uuid end, worker = case when $2 = 'running' then 'other' end,
            lease_expires_at = case when $2 = 'running' then now() + interval '1 hour' end,
            deadline_at = case when $2 = 'running' then now() + interval '1 hour' end
        where id = $1";
    if state != State::Pending {
        client.execute(put, &[&id, &state.as_str(), &state.is_final(), &token]).await.unwrap();
        let attempt = "insert into exportbox.attempt (lease_token, job_id, number, worker, finished_at, outcome)
            values ($1, $2, 1, 'other', case when $3 then now() end, case when $3 then 'buried' end) returning job_id";
        run(attempt, &[&token, &id, &state.is_final()]).await;
    }
    Planted { id, export_id, token }
}

/// Every row of the job tables.
pub async fn everything(client: &Client) -> Value {
    let tables = ["job", "attempt", "object", "message", "event", "control", "pause"];
    let columns: Vec<String> =
        tables.iter().map(|t| format!("'{t}', (select jsonb_agg(to_jsonb(t) order by to_jsonb(t)) from exportbox.{t} as t)")).collect();
    client.query_one(&format!("select jsonb_build_object({})", columns.join(", ")), &[]).await.unwrap().get(0)
}
