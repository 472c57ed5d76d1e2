//! A queue with a past: jobs that came and went, and snapshots that keep what they left.

use exportbox::queue::{FreeSlots, Queue, Scan};
use tokio_postgres::Client;

use super::{World, connect};

impl World {
    /// A snapshot from now on, for as long as the connection lives.
    pub async fn old_snapshot(&self) -> Client {
        let reader = connect(&self.app_url()).await;
        reader.batch_execute("set application_name = 'an old reader'; begin isolation level repeatable read; select 1").await.unwrap();
        reader
    }

    /// A superuser's connection beside `admin`.
    pub async fn superuser(&self) -> Client {
        connect(&self.server().superuser_url_for(&self.database)).await
    }

    /// Jobs without requests, due now.
    pub async fn plant_due(&self, count: usize) {
        self.sql(&format!(
            "set session_replication_role = replica;
             insert into exportbox.job (id, export_id, kind)
                select id, id, 'export' from (select exportbox.new_id() as id from generate_series(1, {count})) as made;
             set session_replication_role = origin"
        ))
        .await;
    }

    /// So many jobs come, are claimed by this process, beat once, and are completed.
    pub async fn churn(&self, queue: &Queue, rounds: usize, each: usize) {
        for _ in 0..rounds {
            self.plant_due(each).await;
            let (mut claimed, mut scan) = (0, Scan::FromCursor);
            while claimed < each {
                let free = FreeSlots { exports: each - claimed, messages: 4 };
                let found = queue.cycle(free, scan).await.unwrap().leases.len();
                claimed += found;
                scan = if found == 0 { Scan::Full } else { Scan::FromCursor };
            }
            // A transaction of its own, as every beat is.
            self.set_jobs("lease_expires_at = lease_expires_at + interval '1 second'", "state = 'running'").await;
            self.sql(
                "update exportbox.attempt set finished_at = now(), outcome = 'completed' where finished_at is null;
                 update exportbox.job set state = 'completed', finished_at = now(),
                    lease_token = null, lease_expires_at = null, deadline_at = null, worker = null where state = 'running'",
            )
            .await;
        }
    }

    /// Let so many transactions pass.
    pub async fn let_transactions_pass(&self, count: u32) {
        self.sql(&format!("do $$ begin for passed in 1..{count} loop perform pg_current_xact_id(); commit; end loop; end $$")).await;
    }
}
