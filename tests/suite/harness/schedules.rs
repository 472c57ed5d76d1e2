//! Verbs of tests about schedules and retention.

use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{World, postgres};

/// What `World::schedule` is given beside the name.
pub const MONTHLY: &str = "cron => '0 6 1 * *', time_zone => 'Europe/Berlin', report => 'monthly', requester => 'app',
    params => '{\"month\": {\"due\": \"start of previous month\"}}'";

impl World {
    /// A world with the report `monthly`, which takes a month, and an operator who may become `app`.
    pub async fn with_a_monthly_report() -> (World, Client) {
        let world = World::new().await;
        world
            .sql(
                "select exportbox.register_report('monthly', 'select exportbox.param(''month'')::date as month',
                '{\"month\": {\"type\": \"date\", \"required\": true}}', run_as => 'app', requesters => array['app'])",
            )
            .await;
        let dba = world.login("dba", &["exportbox_operator", "app"]).await;
        (world, dba)
    }

    /// That operator's URL.
    pub fn dba_url(&self) -> String {
        let name = format!("dba_{}", self.database);
        postgres().url(&name, &name, &self.database)
    }

    /// A schedule of the monthly report, registered by an operator. The next process that looks reckons when it is due.
    pub async fn schedule(&self, dba: &Client, name: &str) {
        dba.execute(&format!("select exportbox.register_schedule('{name}', {MONTHLY})"), &[]).await.unwrap();
    }

    /// Its next instant is this one, an SQL expression.
    pub async fn plan(&self, schedule: &str, instant: &str) {
        self.sql(&format!("update exportbox.schedule set next_due_at = {instant} where name = '{schedule}'")).await;
    }

    /// Its row of the view.
    pub async fn scheduled(&self, name: &str) -> Value {
        self.row("select to_jsonb(s) from exportbox.schedules as s where name = $1", &[&name]).await.get(0)
    }

    /// What was requested for it, oldest instant first: rows of the outbox.
    pub async fn requested_for(&self, schedule: &str) -> Vec<Value> {
        let rows = "select to_jsonb(o) from exportbox.outbox as o where metadata ->> 'schedule' = $1 order by metadata ->> 'due_at'";
        self.admin.query(rows, &[&schedule]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// All that happened to an export happened so long ago; its links too.
    pub async fn age(&self, id: Uuid, days: i32) {
        self.sql(&format!(
            "update exportbox.job set finished_at = finished_at - interval '{days} days' where export_id = '{id}';
             update exportbox.message set link_expires_at = link_expires_at - interval '{days} days'
                where id in (select id from exportbox.job where export_id = '{id}');
             update exportbox.attempt set sweep_after = 'infinity' where job_id in (select id from exportbox.job where export_id = '{id}')"
        ))
        .await;
    }

    /// What is done now and then is to be done now.
    pub async fn let_chores_be_due(&self) {
        self.sql("update exportbox.chore set due_at = now()").await;
    }

    /// Whether anything of an export is left in the tables.
    pub async fn is_kept(&self, id: Uuid) -> bool {
        let found = "select exists (select from exportbox.outbox where id = $1) or exists (select from exportbox.job where export_id = $1)
            or exists (select from exportbox.object where export_id = $1)";
        self.row(found, &[&id]).await.get(0)
    }
}
