//! Connections of a world: who has how many, and how one takes them away.

use tokio_postgres::{Client, NoTls};

use super::World;

impl World {
    /// Take every connection that the application can get; dropping them gives them back.
    pub async fn take_all_connections(&self) -> Vec<Client> {
        let mut taken = Vec::new();
        loop {
            match tokio_postgres::connect(&self.app_url(), NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    taken.push(client);
                }
                Err(error) => {
                    assert_eq!(error.code().map(|code| code.code()), Some("53300"), "{error}");
                    return taken;
                }
            }
        }
    }

    /// End server processes by their `application_name`, a LIKE pattern; returns how many.
    pub async fn terminate(&self, pattern: &str) -> i64 {
        let end = "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity where application_name like $1 and datname = current_database()";
        self.row(end, &[&pattern]).await.get(0)
    }

    /// Wait until so many gated queries stand before the gate.
    pub async fn until_so_many_at_gate(&self, count: usize) {
        self.until(&format!(
            "select count(*) = {count} from pg_stat_activity where datname = current_database() and wait_event = 'advisory'
                and application_name like 'exportbox export %'"
        ))
        .await;
    }

    /// What the world's own server has logged.
    pub fn server_log(&self) -> String {
        std::fs::read_to_string(self.server().log_path()).unwrap()
    }
}
