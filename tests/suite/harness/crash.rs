//! Verbs of tests that kill the real process at a failpoint, start another, and look at what became of it all.

use std::os::unix::process::ExitStatusExt;

use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use super::process::{stderr, stdout};
use super::{World, read_mail};

/// One mail at a time, so that a crash meets exactly one of them.
const ONE_MAIL: (&str, &str) = ("EXPORTBOX_MAIL_SLOTS", "1");

/// Each crash is a handful of processes: so many cases at once, over all tests.
pub async fn room_for_a_crash() -> SemaphorePermit<'static> {
    static ROOM: Semaphore = Semaphore::const_new(4);
    ROOM.acquire().await.unwrap()
}

impl World {
    /// A drain with this failpoint. It must be killed there: a point that is not reached proves nothing.
    pub async fn crash(&self, failpoint: &str, settings: &[(&str, &str)]) {
        let settings = [&[("FAILPOINTS", failpoint), ONE_MAIL], settings].concat();
        let output = self.run_with(&["drain"], &settings).await;
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.signal(), Some(9), "{failpoint} was not reached: {}\n{said}", output.status);
    }

    /// Whoever waits need not: leases of the dead have run out, back-offs have ended.
    pub async fn let_the_dead_be_noticed(&self) {
        self.let_leases_lapse().await;
        self.let_time_pass().await;
    }

    /// Other processes, one after the other, until the export and its mails are final.
    pub async fn converge(&self, id: Uuid, settings: &[(&str, &str)]) {
        let settings = [&[ONE_MAIL], settings].concat();
        for _ in 0..4 {
            self.let_the_dead_be_noticed().await;
            let output = self.run_with(&["drain"], &settings).await;
            // 11: a mail that is held counts as dead.
            assert!(matches!(output.status.code(), Some(0 | 11)), "{}{}", stdout(&output), stderr(&output));
            if ["completed", "dead", "cancelled"].contains(&self.state(id).await.as_str()) {
                return;
            }
        }
        panic!("it does not converge: {}", self.export(id).await);
    }

    /// Open uploads and objects in the store.
    pub async fn left_in_the_store(&self) -> (usize, usize) {
        (self.s3.open_uploads().await.len(), self.s3.objects("exports").await.unwrap().len())
    }

    /// No lease, no open attempt, no query, no upload, no object that nobody points to, nothing left to sweep.
    pub async fn assert_nothing_is_left_behind(&self, id: Uuid) {
        let held = "select count(*) from exportbox.job
            where state = 'running' or lease_token is not null or worker is not null or lease_expires_at is not null";
        assert_eq!(self.count(held).await, 0, "leases");
        assert_eq!(self.count("select count(*) from exportbox.attempt where outcome is null or finished_at is null").await, 0, "attempts");
        let unswept = self.queue("judge").unswept().await.unwrap();
        assert!(unswept.0.is_empty(), "not swept: {unswept:?}");
        self.assert_store_is_clean().await;
        self.until_query_is_gone(id).await;
    }

    /// The outcomes of an export's own attempts, oldest first.
    pub async fn outcomes(&self, id: Uuid) -> String {
        let outcomes = "select string_agg(outcome, ', ' order by number) from exportbox.attempts where export_id = $1 and kind = 'export'";
        self.row(outcomes, &[&id]).await.get(0)
    }

    /// For each recipient in order: `address: status, outcomes of its attempts, how many mails it has got`.
    pub async fn served(&self, id: Uuid) -> Vec<String> {
        let statement = "select delivery.recipient, delivery.status, (
                select string_agg(attempt.outcome, ', ' order by attempt.number)
                from exportbox.attempts as attempt where attempt.job_id = delivery.id)
            from exportbox.deliveries as delivery where delivery.export_id = $1 order by delivery.recipient";
        let rows = self.admin.query(statement, &[&id]).await.unwrap();
        let told = rows.iter().map(|row| {
            let (recipient, status, outcomes): (String, String, Option<String>) = (row.get(0), row.get(1), row.get(2));
            format!("{recipient}: {status}, {}, {} mails", outcomes.unwrap_or_default(), self.mails_to(&recipient).len())
        });
        told.collect()
    }

    /// What each mail links to is exactly this file.
    pub async fn assert_every_link_gives(&self, file: &[u8]) {
        for mail in self.mails() {
            let mut downloaded = Vec::new();
            for link in read_mail(&mail.raw).links {
                downloaded.extend(reqwest::get(&link).await.unwrap().error_for_status().unwrap().bytes().await.unwrap());
            }
            assert!(downloaded == file, "a link gives {} bytes, the file has {}", downloaded.len(), file.len());
        }
    }
}
