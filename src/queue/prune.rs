//! Retention: what is final and old enough goes; and the chores, which one process of all does now and then.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::pool::ms;
use super::{Queue, QueueError};
use crate::job::LeaseToken;
use crate::sql;

/// How long what is final is kept. None: for ever.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retention {
    /// Exports whose jobs are all completed.
    pub completed: Option<Duration>,
    /// Exports with a dead job.
    pub dead: Option<Duration>,
    /// Exports with a cancelled job.
    pub cancelled: Option<Duration>,
    /// Their files are left to the bucket's lifecycle rule.
    pub leave_objects: bool,
    /// Uploads in parts that nobody finished.
    pub uploads: Option<Uploads>,
}

/// Which unfinished uploads are aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploads {
    /// Those below this prefix,
    pub prefix: String,
    /// begun so long ago.
    pub age: Duration,
}

impl Retention {
    /// Whether anything ever goes.
    pub fn prunes(&self) -> bool {
        self.completed.or(self.dead).or(self.cancelled).is_some()
    }
}

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
    /// The chores that are due; they are this caller's now.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn take_chores(&self) -> Result<Vec<Chore>, QueueError> {
        let rows = self.query(sql::TAKE_CHORES, &[&self.worker]).await?;
        let is_due = |chore: &Chore| rows.iter().any(|row| row.get::<_, &str>("name") == chore.as_str());
        Ok([Chore::Prune, Chore::Leftovers, Chore::Uploads].into_iter().filter(is_due).collect())
    }

    /// This chore was not finished: it is due again after this long, for whoever comes first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn postpone_chore(&self, chore: Chore, delay: Duration) -> Result<(), QueueError> {
        self.query(sql::POSTPONE_CHORE, &[&chore.as_str(), &ms(delay)]).await.map(drop)
    }

    /// Delete a batch of what is old enough, or only say what would go. Returns the counts.
    ///
    /// # Errors
    /// `Refused` when no age is given; or why the database cannot be asked.
    pub async fn prune(&self, retention: &Retention, most: i32, dry_run: bool) -> Result<Value, QueueError> {
        let [completed, dead, cancelled] = [retention.completed, retention.dead, retention.cancelled].map(|age| age.map(ms));
        let row = self.query_opt(sql::PRUNE, &[&completed, &dead, &cancelled, &!retention.leave_objects, &most, &dry_run]).await?;
        Ok(row.map(|row| row.get("said")).unwrap_or_default())
    }

    /// Files of pruned exports, a batch in no order.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn leftovers(&self) -> Result<Vec<LeftoverFile>, QueueError> {
        let rows = self.query(sql::LEFTOVERS, &[]).await?;
        Ok(rows.iter().map(|row| LeftoverFile { bucket: row.get("bucket"), key: row.get("key") }).collect())
    }

    /// These files are gone.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn forget_leftovers(&self, gone: &[LeftoverFile]) -> Result<(), QueueError> {
        let (buckets, keys): (Vec<&str>, Vec<&str>) = gone.iter().map(|left| (left.bucket.as_str(), left.key.as_str())).unzip();
        self.query(sql::FORGET_LEFTOVERS, &[&buckets, &keys]).await.map(drop)
    }

    /// Which of these leases belong to attempts that have not ended.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn live_leases(&self, tokens: &[LeaseToken]) -> Result<HashSet<LeaseToken>, QueueError> {
        let tokens: Vec<Uuid> = tokens.iter().map(|token| token.0).collect();
        Ok(self.query(sql::LIVE_LEASES, &[&tokens]).await?.iter().map(|row| LeaseToken(row.get("lease_token"))).collect())
    }
}
