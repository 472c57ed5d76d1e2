//! The chores: what one process of all does now and then. It prunes, removes the files of pruned exports, and aborts abandoned uploads.

use std::collections::HashSet;
use std::time::Duration;

use uuid::Uuid;

use super::Queue;
use crate::database::{DatabaseError, ms};
use crate::job::LeaseToken;
use crate::sql;

/// What one process does for all, now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// Delete what is old enough.
    Prune,
    /// Remove the files of what was deleted.
    Leftovers,
    /// Abort uploads that nobody finished.
    Uploads,
}

impl Chore {
    fn as_str(self) -> &'static str {
        match self {
            Chore::Prune => "prune",
            Chore::Leftovers => "leftovers",
            Chore::Uploads => "uploads",
        }
    }
}

/// A file of an export that was pruned.
#[derive(Debug, Clone)]
pub struct LeftoverFile {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
}

impl Queue {
    /// Take the chores that are due: no other process does them now.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn take_chores(&self) -> Result<Vec<Chore>, DatabaseError> {
        let rows = self.pool.query(sql::TAKE_CHORES, &[&self.pool.name()]).await?;
        let is_due = |chore: &Chore| rows.iter().any(|row| row.get::<_, &str>("name") == chore.as_str());
        Ok([Chore::Prune, Chore::Leftovers, Chore::Uploads].into_iter().filter(is_due).collect())
    }

    /// This chore was not finished: it is due again after this time, for any process.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn postpone_chore(&self, chore: Chore, delay: Duration) -> Result<(), DatabaseError> {
        self.pool.query(sql::POSTPONE_CHORE, &[&chore.as_str(), &ms(delay)]).await.map(drop)
    }

    /// Files of pruned exports, a batch in no order.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn leftovers(&self) -> Result<Vec<LeftoverFile>, DatabaseError> {
        let rows = self.pool.query(sql::LEFTOVERS, &[]).await?;
        Ok(rows.iter().map(|row| LeftoverFile { bucket: row.get("bucket"), key: row.get("key") }).collect())
    }

    /// These files are gone.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn forget_leftovers(&self, gone: &[LeftoverFile]) -> Result<(), DatabaseError> {
        let (buckets, keys): (Vec<&str>, Vec<&str>) = gone.iter().map(|left| (left.bucket.as_str(), left.key.as_str())).unzip();
        self.pool.query(sql::FORGET_LEFTOVERS, &[&buckets, &keys]).await.map(drop)
    }

    /// Which of these leases belong to attempts that have not ended.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn live_leases(&self, tokens: &[LeaseToken]) -> Result<HashSet<LeaseToken>, DatabaseError> {
        let tokens: Vec<Uuid> = tokens.iter().map(|token| token.0).collect();
        Ok(self.pool.query(sql::LIVE_LEASES, &[&tokens]).await?.iter().map(|row| LeaseToken(row.get("lease_token"))).collect())
    }
}
