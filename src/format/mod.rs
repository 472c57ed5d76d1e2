//! What a file is made of: its format, its compression, its ending. Text and bytes only.
//!
//! Must not know: databases, stores, requests' rights. One file here holds each format, and one row of [`TABLE`] says what it can do; nothing outside
//! of this room asks which format a file has. A new format is a file, a row, and a row of the door's table; a test compares the two tables.

pub mod compression;
mod csv;
mod filename;
mod jsonl;
mod options;
mod table;
mod text;

use serde::Deserialize;
use serde_json::json;

pub use self::compression::Compression;
use self::options::FormatOptions;
pub use self::table::{CopyAs, Format, TABLE};
use crate::job::{Column, ExportJob, Failure, FailureClass, FileRequest, Verdict};

/// The format of one export's file, with the compression and the options that its request asks for.
#[derive(Debug, Clone)]
pub struct FileFormat {
    format: &'static Format,
    compression: Compression,
    options: FormatOptions,
}

/// What COPY is given, and aws_s3 as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyText {
    /// The query.
    pub query: String,
    /// What stands between the parentheses of `WITH ( … )`.
    pub options: String,
}

/// A request that says nothing of its file.
pub fn default_request() -> FileRequest {
    FileRequest { format: TABLE[0].name.into(), compression: Compression::None.name().into(), options: json!({}) }
}

impl FileFormat {
    /// The format that a job's request asks for. What the request leaves open is decided here: a header is on, and so is the formula guard when
    /// people open the file.
    ///
    /// # Errors
    /// This version does not know what is asked for, though the door has let it through.
    pub fn of(job: &ExportJob) -> Result<FileFormat, Failure> {
        let unknown = |what: &str| {
            let sentence = format!("This version does not know the {what} that is requested; run the version that the schema belongs to.");
            Failure::new(FailureClass::Internal, Verdict::Retry, sentence)
        };
        let asked = &job.file;
        let format = TABLE.iter().find(|format| format.name == asked.format).ok_or_else(|| unknown("format"))?;
        let compression = format.compressions.iter().find(|compression| compression.name() == asked.compression);
        let compression = *compression.ok_or_else(|| unknown("compression"))?;
        let mut options = FormatOptions::deserialize(&asked.options).map_err(|error| unknown("format_options").with_detail(error))?;
        if format.has_header {
            options.header.get_or_insert(true);
        }
        if format.options.contains(&"formula_guard") {
            // guard: guarded cells
            options.formula_guard.get_or_insert(job.recipients > 0);
        }
        Ok(FileFormat { format, compression, options })
    }

    /// How it is compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Whether the file begins with a line of column names.
    pub fn has_header(&self) -> bool {
        self.options.header == Some(true)
    }

    /// The same for a part of a file that is not its first.
    #[must_use]
    pub fn without_header(&self) -> FileFormat {
        let mut rest = self.clone();
        rest.options.header = rest.options.header.map(|_| false);
        rest
    }

    /// Whether slices of a query, each made by itself, are the file when they stand one behind the other.
    pub fn is_splittable(&self) -> bool {
        self.format.is_splittable
    }

    /// Why aws_s3 cannot make it; none: it can.
    pub fn unfit_for_aws_s3(&self) -> Option<&'static str> {
        match (self.format.is_in_database, self.compression) {
            (false, _) => Some("aws_s3 cannot write this format"),
            (true, Compression::None) => None,
            (true, _) => Some("aws_s3 cannot compress"),
        }
    }

    /// The query that COPY runs, which has been parsed alone, and what COPY is told about the format.
    pub fn copy_text(&self, query: &str, columns: &[Column]) -> CopyText {
        let mut options = self.options.clone();
        let query = (self.format.shape)(query, columns, &mut options);
        let options = match self.format.copy_as {
            CopyAs::Own(name) => options.for_copy(name),
            CopyAs::Lines(fixed) => fixed.to_string(),
        };
        CopyText { query, options }
    }

    /// The content type of the file as it is stored.
    pub fn content_type(&self) -> String {
        match (self.compression.content_type(), self.options.charset()) {
            (Some(compressed), _) => compressed.into(),
            (None, Some(charset)) if self.format.names_charset => format!("{}; charset={charset}", self.format.media_type),
            (None, _) => self.format.media_type.into(),
        }
    }

    /// The name that the browser saves, before what is unsafe in it is replaced.
    pub fn download_name(&self, wish: Option<&str>, report: Option<&str>) -> String {
        filename::download_name(wish, report, self.format.ending, self.compression)
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::types::Type;

    use super::*;
    use crate::job::Terms;

    fn job(format: &str, options: serde_json::Value, recipients: i32) -> ExportJob {
        ExportJob {
            report: None,
            query: String::new(),
            run_as: "app".into(),
            params: Vec::new(),
            recipients,
            file: FileRequest { format: format.into(), compression: "none".into(), options },
            filename: None,
            sealed: None,
            terms: Terms::default(),
        }
    }

    fn text_for(format: &str, options: serde_json::Value, recipients: i32) -> CopyText {
        let columns = [Column { name: "=name".into(), data_type: Type::TEXT, origin: None }];
        FileFormat::of(&job(format, options, recipients)).unwrap().copy_text("select 1", &columns)
    }

    #[test]
    fn a_program_gets_the_query_as_it_is_and_people_a_guarded_one() {
        assert_eq!(text_for("csv", json!({}), 0), CopyText { query: "select 1".into(), options: "format csv, header true".into() });
        assert_eq!(text_for("text", json!({}), 3), CopyText { query: "select 1".into(), options: "format text".into() });
        assert!(text_for("csv", json!({}), 1).query.contains("as guarded"));
        assert_eq!(text_for("csv", json!({"formula_guard": false}), 1).query, "select 1");
        let quoted = text_for("csv", json!({"force_quote": ["=name"], "formula_guard": true}), 0);
        assert_eq!(quoted.options, r#"format csv, header true, force_quote ("'=name")"#);
    }

    #[test]
    fn only_the_first_part_of_a_file_has_its_header() {
        let of = |format: &str, options| FileFormat::of(&job(format, options, 0)).unwrap();
        assert!(of("csv", json!({})).has_header() && !of("csv", json!({})).without_header().has_header());
        assert!(!of("csv", json!({"header": false})).has_header());
        assert!(["text", "jsonl"].iter().all(|format| !of(format, json!({})).has_header()));
        assert_eq!(of("csv", json!({})).without_header().copy_text("q", &[]).options, "format csv, header false");
        assert_eq!(of("text", json!({})).without_header().copy_text("q", &[]).options, "format text");
    }

    #[test]
    fn what_this_version_does_not_know_is_no_format() {
        let fault = |format: &str, compression: &str, options| {
            let mut job = job(format, options, 0);
            job.file.compression = compression.into();
            FileFormat::of(&job).err().map(|failure| failure.sentence).unwrap_or_default()
        };
        assert_eq!(fault("csv", "gzip", json!({})), "");
        assert!(fault("docx", "none", json!({})).contains("know the format "));
        assert!(fault("csv", "zip", json!({})).contains("know the compression "));
        assert!(fault("csv", "none", json!({"colour": 1})).contains("know the format_options "));
    }

    #[test]
    fn a_header_and_a_formula_guard_are_asked_for_where_they_are_options() {
        for format in &TABLE {
            assert_eq!(format.has_header, format.options.contains(&"header"), "{}", format.name);
        }
    }
}
