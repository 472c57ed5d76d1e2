//! Completing in batches: all exports, or all mails, that are done while one statement runs are completed by the next statement.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::batcher::Batcher;
use super::{Lease, Queue, Settled};
use crate::database::DatabaseError;
use crate::job::{Manifest, Receipt, State};
use crate::sql;

/// A job that is done: its id, its lease token, and its result.
#[derive(Debug)]
struct Done<T> {
    job_id: Uuid,
    token: Uuid,
    what: T,
}

impl<T: Clone> Done<T> {
    fn new(lease: &Lease, what: &T) -> Done<T> {
        Done { job_id: lease.job_id(), token: lease.token().0, what: what.clone() }
    }
}

/// The completions that this process has to write, by kind.
#[derive(Default)]
pub(super) struct Completions {
    exports: Batcher<Done<Manifest>, Settled>,
    mails: Batcher<Done<Receipt>, Settled>,
}

impl Queue {
    /// An export is stored and verified.
    pub(super) async fn complete_export(&self, lease: &Lease, manifest: &Manifest) -> Result<Settled, DatabaseError> {
        let act = |queue: Queue, all: Vec<_>| async move { queue.each(&all, Queue::complete_exports).await }.boxed();
        self.completions.exports.ask(self, Done::new(lease, manifest), act).await
    }

    /// The provider took a mail.
    pub(super) async fn complete_message(&self, lease: &Lease, receipt: &Receipt) -> Result<Settled, DatabaseError> {
        let act = |queue: Queue, all: Vec<_>| async move { queue.each(&all, Queue::complete_messages).await }.boxed();
        self.completions.mails.ask(self, Done::new(lease, receipt), act).await
    }

    /// Write all in one statement. When that fails, write each by itself, so that one that is refused or locked does not affect the others.
    async fn each<T>(
        &self,
        all: &[Done<T>],
        write: impl AsyncFn(&Queue, &[&Done<T>]) -> Result<Vec<Row>, DatabaseError>,
    ) -> Vec<Result<Settled, DatabaseError>> {
        // All processes lock the rows in the same order, so that they cannot block each other.
        let mut ordered: Vec<&Done<T>> = all.iter().collect();
        ordered.sort_by_key(|done| done.job_id);
        match write(self, &ordered).await {
            Ok(rows) => {
                let states = states(&rows);
                all.iter().map(|done| Ok(settled(&states, done.token))).collect()
            }
            // `settle` tries again, and finds out whether this was written.
            Err(error @ (DatabaseError::Unavailable(_) | DatabaseError::ReadOnly)) => all.iter().map(|_| Err(error.clone())).collect(),
            Err(error) if all.len() == 1 => vec![Err(error)],
            Err(_) => {
                let mut became = Vec::new();
                for done in all {
                    let alone = write(self, &[done]).await;
                    became.push(alone.map(|rows| settled(&states(&rows), done.token)));
                }
                became
            }
        }
    }

    async fn complete_exports(&self, done: &[&Done<Manifest>]) -> Result<Vec<Row>, DatabaseError> {
        let (ids, tokens) = leases(done);
        let column = |of: fn(&Manifest) -> &str| done.iter().map(|done| of(&done.what)).collect::<Vec<_>>();
        let (buckets, types) = (column(|manifest| &manifest.bucket), column(|manifest| &manifest.content_type));
        let filenames = column(|manifest| &manifest.filename);
        let rows: Vec<i64> = done.iter().map(|done| done.what.rows).collect();
        let as_of: Vec<DateTime<Utc>> = done.iter().map(|done| done.what.as_of).collect();
        let parts = || done.iter().flat_map(|done| (1_i32..).zip(&done.what.parts).map(|(number, part)| (done.token, number, part)));
        let part_tokens: Vec<Uuid> = parts().map(|(token, ..)| token).collect();
        let numbers: Vec<i32> = parts().map(|(_, number, _)| number).collect();
        let keys: Vec<&str> = parts().map(|(.., part)| part.key.as_str()).collect();
        let bytes: Vec<i64> = parts().map(|(.., part)| part.bytes).collect();
        let checksums: Vec<Option<&str>> = parts().map(|(.., part)| part.checksum.as_deref()).collect();
        let params: [&(dyn ToSql + Sync); 12] =
            [&ids, &tokens, &buckets, &rows, &types, &filenames, &as_of, &part_tokens, &numbers, &keys, &bytes, &checksums];
        self.pool.query(sql::COMPLETE_EXPORTS, &params).await
    }

    async fn complete_messages(&self, done: &[&Done<Receipt>]) -> Result<Vec<Row>, DatabaseError> {
        let (ids, tokens) = leases(done);
        let providers: Vec<&str> = done.iter().map(|done| done.what.provider).collect();
        let message_ids: Vec<&str> = done.iter().map(|done| done.what.message_id.as_str()).collect();
        let deaths: Vec<Option<DateTime<Utc>>> = done.iter().map(|done| done.what.link_expires_at).collect();
        let cut_by: Vec<Option<&str>> = done.iter().map(|done| done.what.link_cut_by).collect();
        self.pool.query(sql::COMPLETE_MESSAGES, &[&ids, &tokens, &providers, &message_ids, &deaths, &cut_by]).await
    }
}

fn leases<T>(done: &[&Done<T>]) -> (Vec<Uuid>, Vec<Uuid>) {
    done.iter().map(|done| (done.job_id, done.token)).unzip()
}

/// What the job of each lease has become. A lease that is missing is lost (I2).
fn states(rows: &[Row]) -> HashMap<Uuid, State> {
    rows.iter().filter_map(|row| Some((row.get("lease_token"), State::parse(row.get("state"))?))).collect()
}

fn settled(states: &HashMap<Uuid, State>, token: Uuid) -> Settled {
    states.get(&token).map_or(Settled::LeaseLost, |state| Settled::Done(*state))
}
