//! Connections of a world: who has how many, and how one takes them away.

use std::time::Duration;

use exportbox::sandbox::PostgresOptions;
use tokio_postgres::{Client, NoTls};

use super::{PATIENCE, World};

/// What the bookkeeping connections of processes (`exportbox host:pid:random`) have asked, out of a talkative server's log.
pub fn asked(log: &str) -> impl Iterator<Item = &str> {
    let of_a_process = |line: &&str| line.split(']').next().unwrap().matches(':').count() == 2 && line.starts_with("[exportbox ");
    log.lines().filter(of_a_process).filter(|line| line.contains("LOG:"))
}

impl World {
    /// A world whose server logs who has asked what.
    pub async fn with_talkative_server() -> World {
        let settings = vec![("log_statement".into(), "all".into()), ("log_line_prefix".into(), "[%a] ".into())];
        World::with_server(&PostgresOptions { settings, ..PostgresOptions::default() }).await
    }

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

    /// Connections that daemons have for their bookkeeping; `which` begins with AND or is empty.
    pub async fn connections_of_daemons(&self, which: &str) -> i64 {
        let of_daemons = "application_name like 'exportbox %' and usename = 'exportbox_daemon'";
        self.count(&format!("select count(*) from pg_stat_activity where {of_daemons} {which}")).await
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

    /// Wait until the last so many statements of a process on a talkative server were this one.
    pub async fn until_it_asks_only(&self, worker: &str, name: &str, times: usize) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let log = self.server_log();
            let of_it: Vec<&str> = asked(&log).filter(|line| line.contains(worker)).collect();
            let last = of_it.iter().rev().take_while(|line| line.ends_with(&format!("-- name: {name}"))).count();
            if last >= times {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{worker} asks for more: {:?}", &of_it[of_it.len().saturating_sub(20)..]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the world's own server has logged.
    pub fn server_log(&self) -> String {
        std::fs::read_to_string(self.server().log_path()).unwrap()
    }
}
