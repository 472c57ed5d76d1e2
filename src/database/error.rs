//! What can go wrong between the daemon and its tables. Above this room nobody reads an SQLSTATE.

use tokio_postgres::error::SqlState;

/// A statement on the job tables failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// Not reachable, restarting, failing over, out of connections: reconnect and try again.
    #[error("the database cannot be reached ({0})")]
    Unavailable(String),
    /// Somebody holds what was to be changed, or it took too long: try again.
    #[error("the database is busy ({0})")]
    Busy(String),
    /// Reached, but only for reading: a replica, or a server after failover.
    #[error("the database is read-only; point EXPORTBOX_DATABASE_URL at the writer")]
    ReadOnly,
    /// The login was refused.
    #[error("the database refuses the login ({0}); check user, password and database in EXPORTBOX_DATABASE_URL")]
    Login(String),
    /// A pooler shares the sessions: what one statement sets in its session is not there for the next.
    #[error(
        "a pooler in transaction mode stands before the database ({0}); set EXPORTBOX_POOLED=true and no options in the URL, or connect directly"
    )]
    Pooler(String),
    /// The schema is missing, older or newer than this program.
    #[error("{0}")]
    Schema(String),
    /// The login lacks a grant.
    #[error("the database login lacks a privilege ({0}); grant it the role for this command, see docs/dba.md")]
    Privilege(String),
    /// A refusal of exportbox's own functions, class EB.
    #[error("{message}{}", .hint.as_ref().map(|hint| format!(". {hint}")).unwrap_or_default())]
    Refused {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A refusal of how something was asked: wrong usage.
    #[error("{message}{}", .hint.as_ref().map(|hint| format!(". {hint}")).unwrap_or_default())]
    Usage {
        /// What is wrong.
        message: String,
        /// What to write instead.
        hint: Option<String>,
    },
    /// Anything else: a fault of exportbox.
    #[error("a statement failed ({0})")]
    Statement(String),
}

impl DatabaseError {
    /// Whether the same call may work in a while.
    pub fn is_transient(&self) -> bool {
        matches!(self, DatabaseError::Unavailable(_) | DatabaseError::Busy(_) | DatabaseError::ReadOnly)
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> DatabaseError {
        let Some(db) = error.as_db_error() else {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            return DatabaseError::Unavailable(cause);
        };
        let code = db.code();
        let said = said(db);
        match code.code() {
            "25006" => DatabaseError::ReadOnly,
            // A statement that is unknown although it was prepared, or known although it was not: another session's.
            "26000" | "42P05" => DatabaseError::Pooler(said),
            "08P01" if db.message().contains("startup parameter") => DatabaseError::Pooler(said),
            "28P01" | "28000" | "3D000" => DatabaseError::Login(said),
            "3F000" | "42P01" | "42883" | "42703" => {
                DatabaseError::Schema(format!("the exportbox schema is missing or not of this version ({said}); run: exportbox migrate"))
            }
            "42501" => DatabaseError::Privilege(said),
            "40001" | "40P01" | "55P03" | "57014" => DatabaseError::Busy(said),
            "EB090" | "EB091" => DatabaseError::Usage { message: db.message().to_string(), hint: db.hint().map(ToString::to_string) },
            code if code.starts_with("EB") => {
                DatabaseError::Refused { message: db.message().to_string(), hint: db.hint().map(ToString::to_string) }
            }
            code if code.starts_with("08") || code.starts_with("53") || code.starts_with("57P") => DatabaseError::Unavailable(said),
            _ => DatabaseError::Statement(said),
        }
    }
}

/// What of the server's words may go into a log line. The message of these classes holds names of objects and logins; that of any other (a value
/// that cannot be read, a violated constraint, somebody's RAISE) may hold data, as DETAIL, HINT and CONTEXT of all of them may.
fn said(db: &tokio_postgres::error::DbError) -> String {
    const NAMES_ONLY: [&str; 11] = ["08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "55", "57"];
    let code = db.code().code();
    // guard: names only
    if NAMES_ONLY.iter().any(|class| code.starts_with(class)) {
        return format!("{}, SQLSTATE {code}", db.message());
    }
    match db.constraint() {
        Some(constraint) => format!("constraint {constraint}, SQLSTATE {code}"),
        None => format!("SQLSTATE {code}; the server's log has the rest"),
    }
}

impl From<deadpool_postgres::PoolError> for DatabaseError {
    fn from(error: deadpool_postgres::PoolError) -> DatabaseError {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            other => DatabaseError::Unavailable(other.to_string()),
        }
    }
}

/// Whether a migration has changed what the statement returns since it was prepared: preparing it again helps.
pub(super) fn is_stale_plan(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED)
}
