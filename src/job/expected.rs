//! Whether the database would write a report's files or the daemon would stream them, told before any is made.

use serde::Serialize;

/// The exporter that a report's uncompressed files would be made by, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExpectedExporter {
    /// `aws_s3` or `copy`; none: its exports would wait.
    pub exporter: Option<&'static str>,
    /// One word, for programs.
    pub reason: String,
    /// The same for people: a half sentence.
    pub sentence: String,
    /// What would let the database write them, where something would.
    pub what_to_do: Option<String>,
    /// Several backends may make its files.
    #[serde(skip)]
    pub has_split_key: bool,
}

impl ExpectedExporter {
    /// The database would write its files.
    pub fn is_in_database(&self) -> bool {
        self.exporter == Some("aws_s3")
    }

    /// A few words, for a table.
    pub fn brief(&self) -> String {
        format!("{}: {}", self.place(), self.reason.replace('_', " "))
    }

    /// A sentence, for people.
    pub fn in_words(&self) -> String {
        let more = if self.is_in_database() { "; compressed files are streamed" } else { "" };
        format!("{}: {}{more}", self.place(), self.sentence)
    }

    fn place(&self) -> &'static str {
        match self.exporter {
            Some("aws_s3") => "in the database",
            Some(_) => "streamed",
            None => "waits",
        }
    }
}
