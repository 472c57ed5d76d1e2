//! What people order: cancel, requeue, pause, resume. Each with the rights of whoever may, so that a test says only what is done.

use serde_json::Value;
use uuid::Uuid;

use super::World;

impl World {
    /// Cancel an export as the application; what was done.
    pub async fn cancel(&self, id: Uuid) -> String {
        self.requester().await.query_one("select exportbox.cancel($1)", &[&id]).await.unwrap().get(0)
    }

    /// Requeue an export as a superuser; how many of its jobs have come back.
    pub async fn requeue(&self, id: Uuid) -> i32 {
        self.row("select exportbox.requeue($1)", &[&id]).await.get(0)
    }

    /// Pause this, which was not paused.
    pub async fn pause(&self, scope: &str) {
        assert!(self.row("select exportbox.pause($1)", &[&scope]).await.get::<_, bool>(0));
    }

    /// Resume this, which was paused.
    pub async fn resume(&self, scope: &str) {
        assert!(self.row("select exportbox.resume($1)", &[&scope]).await.get::<_, bool>(0));
    }

    /// The row of the view `health`.
    pub async fn health(&self) -> Value {
        self.row("select to_jsonb(health) from exportbox.health", &[]).await.get(0)
    }
}
