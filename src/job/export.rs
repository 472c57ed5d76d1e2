//! What an export job works with: its query, the columns of that, the file that is wanted, and the terms of its report.

use serde_json::Value;
use tokio_postgres::types::Type;

use super::{Failure, FailureClass, Verdict};

/// What an export job works with, read from its request.
#[derive(Clone)]
pub struct ExportJob {
    /// Name of the report; none for an ad-hoc query.
    pub report: Option<String>,
    /// The SELECT to run.
    pub query: String,
    /// The role whose rights it has.
    pub run_as: String,
    /// Name and value of each parameter.
    pub params: Vec<(String, Option<String>)>,
    /// How many people will open the file; none means a program does.
    pub recipients: i32,
    /// What the file shall be.
    pub file: FileRequest,
    /// What the browser saves, as the requester wishes.
    pub filename: Option<String>,
    /// What the report's sealed function is called, if there is one; none for an ad-hoc query.
    pub sealed: Option<String>,
    /// What its report says.
    pub terms: Terms,
}

/// What the file of an export shall be, in the words of its request. The room `format` knows what they mean.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRequest {
    /// Name of the format.
    pub format: String,
    /// Name of the compression.
    pub compression: String,
    /// The options of the format: an object.
    pub options: Value,
}

/// What a report says of its exports beside the query; an ad-hoc query has the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The name of the source that the query runs on.
    pub source: String,
    /// Follows the daemon's prefix in the key.
    pub prefix: Option<String>,
    /// The store encrypts the file with it.
    pub kms_key: Option<String>,
    /// Most data rows.
    pub max_rows: Option<i64>,
    /// Most bytes as stored.
    pub max_bytes: Option<i64>,
    /// The column of the query by whose ranges several backends may export the file, which has its order; `ctid`: by ranges of a table's blocks.
    pub split_key: Option<String>,
}

/// The source that needs no name.
pub const DEFAULT_SOURCE: &str = "default";

impl Default for Terms {
    fn default() -> Terms {
        Terms { source: DEFAULT_SOURCE.into(), prefix: None, kms_key: None, max_rows: None, max_bytes: None, split_key: None }
    }
}

impl Terms {
    /// Whether this many data rows and stored bytes are allowed.
    ///
    /// # Errors
    /// They are not: another attempt would come to the same.
    pub fn allow(&self, rows: i64, bytes: i64) -> Result<(), Failure> {
        let too_large = |what: String, limit: &str| {
            let sentence =
                format!("The report allows at most {what}, and this export has more. Narrow its parameters, or have {limit} raised.");
            Err(Failure::new(FailureClass::TooLarge, Verdict::Bury, sentence))
        };
        match (self.max_rows, self.max_bytes) {
            (Some(most), _) if rows > most => too_large(format!("{most} rows"), "max_rows"),
            (_, Some(most)) if bytes > most => too_large(format!("{most} bytes"), "max_bytes"),
            _ => Ok(()),
        }
    }
}

/// A column of a query's result.
#[derive(Debug, Clone)]
pub struct Column {
    /// As the header shows it.
    pub name: String,
    /// PostgreSQL's type, domains resolved.
    pub data_type: Type,
    /// The table that it comes from as it stands, and its number there; none if it is an expression.
    pub origin: Option<(u32, i16)>,
}

/// The query without what may stand at the end of a statement but not before a closing parenthesis.
pub fn bare(query: &str) -> &str {
    query.trim_end_matches(|c: char| c.is_whitespace() || c == ';')
}

/// A name as SQL reads it whatever is in it.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
