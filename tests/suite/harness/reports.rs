//! Verbs of tests about reports.

use std::path::PathBuf;

use serde_json::Value;
use uuid::Uuid;

use super::{World, postgres};

impl World {
    /// Register a report that runs as `app`; `more` are further arguments of `register_report`, each after a comma.
    pub async fn register(&self, name: &str, query: &str, more: &str) {
        self.register_as(name, query, "app", more).await;
    }

    /// The same of another role.
    pub async fn register_as(&self, name: &str, query: &str, role: &str, more: &str) {
        self.sql(&format!("select exportbox.register_report('{name}', $q${query}$q$, run_as => '{role}'{more})")).await;
    }

    /// Two reports: `near`, and `far` on the source `replica`.
    pub async fn two_reports(&self) {
        self.register("near", "select 1 as one", "").await;
        self.register("far", "select 1 as one", ", source => 'replica', plan => false").await;
    }

    /// Request a report as the application; `more` are further arguments of `request_export`, each after a comma.
    pub async fn request_report(&self, report: &str, params: Value, more: &str) -> Uuid {
        let call = format!("select exportbox.request_export($1, params => $2{more})");
        self.app().await.query_one(&call, &[&report, &params]).await.unwrap().get(0)
    }

    /// A role whose exports go by this exporter, in a world that has it.
    pub fn exporting_role(&self, exporter: &str) -> String {
        if exporter == "aws_s3" { format!("{}_exporter", self.database) } else { "app".into() }
    }

    /// The URL of an operator who may become `app`.
    pub async fn operator_url(&self) -> String {
        drop(self.login("dba", &["exportbox_operator", "app"]).await);
        let name = format!("dba_{}", self.database);
        postgres().url(&name, &name, &self.database)
    }

    /// A file of this test.
    pub fn file_of(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}
