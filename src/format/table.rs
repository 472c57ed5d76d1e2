//! One row a format: what it can do. The door's table has the same names, options and compressions.

use super::options::FormatOptions;
use super::{Compression, csv, jsonl, text};
use crate::job::Column;

/// What a format is and can do.
#[derive(Debug)]
pub struct Format {
    /// Its name in a request.
    pub name: &'static str,
    /// The ending of its files.
    pub ending: &'static str,
    /// Their content type, uncompressed.
    pub media_type: &'static str,
    /// The content type says which character set it is.
    pub names_charset: bool,
    /// How COPY writes it.
    pub copy_as: CopyAs,
    /// The query as COPY gets it. Where it changes names of columns, it changes them in the options, too.
    pub shape: Shape,
    /// A file may begin with a line of column names.
    pub has_header: bool,
    /// aws_s3 can make it.
    pub is_in_database: bool,
    /// Slices of a query, each made by itself, are the file when they stand one behind the other.
    pub is_splittable: bool,
    /// How its files may be compressed.
    pub compressions: &'static [Compression],
    /// What a request may ask of it.
    pub options: &'static [&'static str],
}

/// From the query, its columns and the request's options to the query that COPY runs.
pub type Shape = fn(&str, &[Column], &mut FormatOptions) -> String;

/// How COPY writes a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyAs {
    /// It is a format of COPY's own, of this name, and COPY is told the request's options.
    Own(&'static str),
    /// The query makes each line of the file, and COPY with these options passes the lines on as they are.
    Lines(&'static str),
}

/// Every format. The first is what a request gets that names none.
pub static TABLE: [Format; 3] = [
    Format {
        name: "csv",
        ending: "csv",
        media_type: "text/csv",
        names_charset: true,
        copy_as: CopyAs::Own("csv"),
        shape: csv::shape,
        has_header: true,
        is_in_database: true,
        is_splittable: true,
        compressions: &[Compression::None, Compression::Gzip],
        options: &["header", "delimiter", "null", "quote", "escape", "force_quote", "encoding", "formula_guard"],
    },
    Format {
        name: "text",
        ending: "txt",
        media_type: "text/plain",
        names_charset: true,
        copy_as: CopyAs::Own("text"),
        shape: text::shape,
        has_header: false,
        is_in_database: true,
        is_splittable: true,
        compressions: &[Compression::None, Compression::Gzip],
        options: &["delimiter", "null", "encoding"],
    },
    Format {
        name: "jsonl",
        ending: "jsonl",
        media_type: "application/jsonl",
        names_charset: false,
        copy_as: CopyAs::Lines(jsonl::COPY_OPTIONS),
        shape: jsonl::shape,
        has_header: false,
        is_in_database: true,
        is_splittable: true,
        compressions: &[Compression::None, Compression::Gzip],
        options: &[],
    },
];
