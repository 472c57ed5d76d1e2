//! One snapshot for several backends: what one sees, the others see, whatever is committed meanwhile.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::classify::{self, Phase};
use super::{Session, Source};
use crate::job::{ExportJob, Failure, FailureClass, Verdict};
use crate::sql;

/// A snapshot that other backends may take over while its session lives.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The server's name of it.
    name: String,
    /// The start of the server: snapshots of two servers may have the same name.
    server_start: DateTime<Utc>,
}

impl Snapshot {
    /// What a transaction begins with that takes it over.
    pub(super) fn take_over(&self) -> String {
        format!("set transaction snapshot '{}'", self.name)
    }
}

impl Session {
    /// Let other backends see what this session sees. A session whose server refuses is of no further use: its transaction has failed.
    ///
    /// # Errors
    /// The server cannot share snapshots, or not here.
    pub async fn share(&self) -> Result<Snapshot, Failure> {
        let shared = self.client.query_typed_one(sql::SHARE_SNAPSHOT, &[]).await;
        let row = shared.map_err(|error| classify::failure(&error, Phase::Open))?;
        let name: String = row.get("snapshot");
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
            return Err(elsewhere("The server names its snapshots in a way that is not known."));
        }
        Ok(Snapshot { name, server_start: row.get("server_start") })
    }

    /// One more session for the same export, that sees what the one sees that shares the snapshot.
    ///
    /// # Errors
    /// Why not. The export can do without.
    pub async fn join(
        source: &Source,
        export_id: Uuid,
        job: &ExportJob,
        time_left: Duration,
        snapshot: &Snapshot,
    ) -> Result<Session, Failure> {
        let session = Session::open_at(source, export_id, job, time_left, Some(snapshot)).await?;
        let params = sql::typed(sql::JOINED_SERVER, &[&snapshot.server_start]);
        let row = session.client.query_typed_one(sql::JOINED_SERVER, &params).await;
        if row.map_err(|error| classify::failure(&error, Phase::Open))?.get("is_same") {
            return Ok(session);
        }
        Err(elsewhere("The other connection came to another server."))
    }
}

fn elsewhere(sentence: &str) -> Failure {
    Failure::new(FailureClass::SourceConfig, Verdict::Retry, sentence)
}
