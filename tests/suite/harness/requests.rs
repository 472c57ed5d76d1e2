//! Requests as applications make them, and refusals as they see them.

use tokio_postgres::Client;

use super::{World, connect, postgres};

/// What the database said instead of taking a statement.
#[derive(Debug)]
pub struct Refusal {
    pub code: String,
    pub message: String,
    pub hint: String,
}

/// Run a statement that must be refused.
pub async fn refusal(client: &Client, statement: &str) -> Refusal {
    let Err(error) = client.batch_execute(statement).await else { panic!("accepted: {statement}") };
    let Some(said) = error.as_db_error() else { panic!("{error}: {statement}") };
    Refusal { code: said.code().code().to_string(), message: said.message().to_string(), hint: said.hint().unwrap_or_default().to_string() }
}

impl World {
    /// A login of this world only, with these roles. Its name is `{name}_{database}`.
    pub async fn login(&self, name: &str, roles: &[&str]) -> Client {
        let name = format!("{name}_{}", self.database);
        let grants: String = roles.iter().map(|role| format!("grant {role} to {name};")).collect();
        self.sql(&format!("create role {name} login password '{name}'; {grants}")).await;
        connect(&postgres().url(&name, &name, &self.database)).await
    }

    /// A database beside this world's with nothing in it; superuser's URL.
    pub async fn empty_database(&self) -> String {
        let name = format!("empty_{}", self.database);
        self.sql(&format!("create database {name}")).await;
        postgres().superuser_url_for(&name)
    }

    /// Requests, and pending export jobs: what others see of them.
    pub async fn requests_and_jobs(&self) -> (i64, i64) {
        let jobs = "select count(*) from exportbox.jobs where state = 'pending' and kind = 'export'";
        (self.count("select count(*) from exportbox.outbox").await, self.count(jobs).await)
    }
}
