//! What a server is: its version, whether it only reads, which aws_s3 it has.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

/// The oldest PostgreSQL that exportbox works with.
const OLDEST: i32 = 140_000;
/// From these minor versions on, Aurora no longer restarts during an export by aws_s3.
const AURORA_MENDED: [(i32, i32); 5] = [(17, 6), (16, 10), (15, 14), (14, 19), (13, 22)];

/// A server as one session sees it.
#[derive(Debug, Clone)]
pub struct Server {
    /// `server_version_num`.
    version: i32,
    /// It is Aurora.
    is_aurora: bool,
    /// It replays another server.
    pub is_standby: bool,
    /// Transactions only read.
    pub is_read_only: bool,
    /// The session got its startup options.
    pub is_direct: bool,
    /// The version of the extension aws_s3.
    pub aws_s3: Option<String>,
    /// Who is logged in.
    pub login: String,
    /// Its clock.
    pub now: DateTime<Utc>,
}

impl Server {
    /// From a row of `sql/admin/examine_server.sql`.
    pub(crate) fn from_row(row: &Row) -> Server {
        Server {
            version: row.get("version"),
            is_aurora: row.get("is_aurora"),
            is_standby: row.get("is_standby"),
            is_read_only: row.get("is_read_only"),
            is_direct: row.get("is_direct"),
            aws_s3: row.get("aws_s3"),
            login: row.get("login"),
            now: row.get("now"),
        }
    }

    /// `PostgreSQL 17.6` or `Aurora PostgreSQL 17.6`.
    pub fn name(&self) -> String {
        let kind = if self.is_aurora { "Aurora PostgreSQL" } else { "PostgreSQL" };
        format!("{kind} {}.{}", self.version / 10_000, self.version % 10_000)
    }

    /// Whether the server is older than exportbox supports.
    pub fn is_too_old(&self) -> bool {
        self.version < OLDEST
    }

    /// A fault of this Aurora version in aws_s3, and the version that corrects it.
    pub fn fault_with_aws_s3(&self) -> Option<String> {
        let (major, minor) = (self.version / 10_000, self.version % 10_000);
        let mended = AURORA_MENDED.iter().find(|(with, _)| *with == major);
        let is_faulty = match mended {
            Some((_, from)) => minor < *from,
            None => major < 13,
        };
        let to = mended.map_or_else(|| "17.6".to_string(), |(major, minor)| format!("{major}.{minor}"));
        (self.is_aurora && is_faulty).then(|| format!("{} may restart in the midst of an export by aws_s3; {to} does not", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: i32, is_aurora: bool) -> Server {
        let (is_standby, is_read_only, is_direct) = (false, false, true);
        Server { version, is_aurora, is_standby, is_read_only, is_direct, aws_s3: None, login: "ann".into(), now: Utc::now() }
    }

    #[test]
    fn an_aurora_that_restarts_in_exports_is_known_by_its_minor_version() {
        for (version, to) in [(170_005, "17.6"), (160_009, "16.10"), (150_013, "15.14"), (140_018, "14.19"), (130_021, "13.22")] {
            let fault = server(version, true).fault_with_aws_s3();
            assert!(fault.as_ref().is_some_and(|fault| fault.ends_with(&format!("{to} does not"))), "{version}: {fault:?}");
            assert_eq!(server(version + 1, true).fault_with_aws_s3(), None, "{version}");
            assert_eq!(server(version, false).fault_with_aws_s3(), None, "RDS and plain PostgreSQL do not have that fault");
        }
        assert!(server(120_016, true).fault_with_aws_s3().is_some());
        assert_eq!(server(180_001, true).fault_with_aws_s3(), None);
    }

    #[test]
    fn a_server_says_its_name_and_age() {
        assert_eq!(server(170_006, true).name(), "Aurora PostgreSQL 17.6");
        assert_eq!(server(150_018, false).name(), "PostgreSQL 15.18");
        assert!(server(130_022, false).is_too_old() && !server(140_000, false).is_too_old());
    }
}
