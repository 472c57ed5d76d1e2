//! The format of a file: its COPY options, its content type, its name.

use serde::Deserialize;

/// What the rows are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// COPY's csv.
    Csv,
    /// COPY's text.
    Text,
    /// One JSON object a line.
    Jsonl,
}

/// How the file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip: one member, or one for each slice of a file that is split.
    Gzip,
}

/// `force_quote`: all columns or some.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ForceQuote {
    /// `"*"`.
    All(String),
    /// Column names.
    Columns(Vec<String>),
}

/// The `format_options` of a request. The door has checked them; what is not given is COPY's default, except for the header, which is on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormatOptions {
    /// A line of column names first (csv). Default: on.
    pub header: Option<bool>,
    /// One single-byte character.
    pub delimiter: Option<String>,
    /// What stands for NULL.
    pub null: Option<String>,
    /// One single-byte character.
    pub quote: Option<String>,
    /// One single-byte character.
    pub escape: Option<String>,
    /// Columns that are quoted even when they need not be.
    pub force_quote: Option<ForceQuote>,
    /// A PostgreSQL encoding. Default: UTF8.
    pub encoding: Option<String>,
    /// Put a `'` before text that a spreadsheet would run as a formula. Default: on when there are recipients.
    pub formula_guard: Option<bool>,
}

impl Format {
    /// The content type of the uncompressed file. An encoding that browsers have no name for goes unnamed: none is better than a wrong one.
    pub fn content_type(self, options: &FormatOptions) -> String {
        let media_type = match self {
            Format::Csv => "text/csv",
            Format::Text => "text/plain",
            Format::Jsonl => return "application/jsonl".into(),
        };
        match charset(options.encoding.as_deref().unwrap_or("UTF8")) {
            Some(charset) => format!("{media_type}; charset={charset}"),
            None => media_type.into(),
        }
    }

    /// The ending of the uncompressed file.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Text => "txt",
            Format::Jsonl => "jsonl",
        }
    }

    /// Whether the file begins with a line of column names.
    pub fn has_header(self, options: &FormatOptions) -> bool {
        self == Format::Csv && options.header.unwrap_or(true)
    }

    /// What stands between the parentheses of COPY's `WITH ( … )`; aws_s3 takes the same text.
    pub fn copy_options(self, options: &FormatOptions) -> String {
        let mut with = match self {
            Format::Csv => vec!["format csv".to_string(), format!("header {}", self.has_header(options))],
            Format::Text => vec!["format text".to_string()],
            // JSON is written through csv with quote and delimiter that JSON text never holds, so that nothing is quoted:
            // COPY's text format would double every backslash.
            Format::Jsonl => return r"format csv, header false, quote E'\x01', delimiter E'\x02'".into(),
        };
        let literals = [
            ("delimiter", &options.delimiter),
            ("null", &options.null),
            ("quote", &options.quote),
            ("escape", &options.escape),
            ("encoding", &options.encoding),
        ];
        with.extend(literals.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {}", quote_literal(value)))));
        match &options.force_quote {
            Some(ForceQuote::All(_)) => with.push("force_quote *".into()),
            Some(ForceQuote::Columns(columns)) => {
                let columns: Vec<String> = columns.iter().map(|column| quote_identifier(column)).collect();
                with.push(format!("force_quote ({})", columns.join(", ")));
            }
            None => {}
        }
        with.join(", ")
    }
}

impl Compression {
    /// The content type of the file as it is stored.
    pub fn content_type(self, format: Format, options: &FormatOptions) -> String {
        match self {
            Compression::None => format.content_type(options),
            Compression::Gzip => "application/gzip".into(),
        }
    }
}

/// The WHATWG name of a PostgreSQL encoding. PostgreSQL reads names without regard to case and punctuation.
fn charset(encoding: &str) -> Option<&'static str> {
    let plain: String = encoding.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    Some(match plain.as_str() {
        "utf8" | "unicode" => "utf-8",
        "latin1" | "iso88591" => "iso-8859-1",
        "latin2" | "iso88592" => "iso-8859-2",
        "latin5" | "iso88599" => "iso-8859-9",
        "latin9" | "iso885915" => "iso-8859-15",
        "iso88595" => "iso-8859-5",
        "iso88597" => "iso-8859-7",
        "win1250" | "windows1250" => "windows-1250",
        "win1251" | "windows1251" | "win" => "windows-1251",
        "win1252" | "windows1252" => "windows-1252",
        "win1253" | "windows1253" => "windows-1253",
        "win1254" | "windows1254" => "windows-1254",
        "koi8r" | "koi8" => "koi8-r",
        "eucjp" => "euc-jp",
        "sjis" | "shiftjis" | "mskanji" => "shift_jis",
        "euckr" => "euc-kr",
        "big5" => "big5",
        "gbk" => "gbk",
        "gb18030" => "gb18030",
        _ => return None,
    })
}

/// Endings of files that are opened and not run, whatever is in them.
const ENDINGS: [&str; 7] = [".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".log"];

/// The name that the browser saves: the requester's wish with the endings that the content needs, or one made from the report's name. What a
/// machine would run by its ending (`.hta`, `.pdf.exe`) or show by it gets the content's behind it.
pub fn download_name(wish: Option<&str>, report: Option<&str>, format: Format, compression: Compression) -> String {
    let ends_with = |name: &str, ending: &str| name.to_ascii_lowercase().ends_with(ending);
    let wish = wish.map(|wish| wish.trim_end_matches(|c: char| c == '.' || c.is_whitespace())).filter(|wish| !wish.is_empty());
    let mut name = wish.or(report).unwrap_or("export").to_string();
    let gz = if wish.is_some() && ends_with(&name, ".gz") { name.split_off(name.len() - 3) } else { String::new() };
    if wish.is_none() || !ENDINGS.iter().any(|ending| ends_with(&name, ending)) {
        name = format!("{name}.{}", format.extension());
    }
    let gz = if gz.is_empty() && compression == Compression::Gzip { ".gz" } else { &gz };
    name + gz
}

/// A string literal that means the same whatever `standard_conforming_strings` says.
pub fn quote_literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', r"\\")) } else { format!("'{quoted}'") }
}

/// A quoted identifier.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> FormatOptions {
        serde_json::from_str(json).expect("valid options")
    }

    #[test]
    fn options_are_written_as_copy_reads_them() {
        let csv = options(r#"{"delimiter": ";", "null": "\\N", "quote": "'", "force_quote": ["a\"b", "c"], "header": false}"#);
        assert_eq!(
            Format::Csv.copy_options(&csv),
            r#"format csv, header false, delimiter ';', null E'\\N', quote '''', force_quote ("a""b", "c")"#
        );
        assert_eq!(Format::Csv.copy_options(&options(r#"{"force_quote": "*"}"#)), "format csv, header true, force_quote *");
        assert_eq!(Format::Text.copy_options(&FormatOptions::default()), "format text");
    }

    #[test]
    fn a_download_has_the_endings_of_its_content() {
        let name = |wish, report, compression| download_name(wish, report, Format::Csv, compression);
        assert_eq!(name(None, Some("orders"), Compression::None), "orders.csv");
        assert_eq!(name(None, None, Compression::Gzip), "export.csv.gz");
        assert_eq!(name(Some("März.csv"), None, Compression::Gzip), "März.csv.gz");
        assert_eq!(name(Some("a.GZ"), None, Compression::Gzip), "a.csv.GZ");
        assert_eq!(name(Some("a.Txt"), None, Compression::None), "a.Txt");
        for bites in ["invoice.hta", "Rechnung.pdf.exe", "orders", "a.html", "x.csv.lnk. "] {
            let wish = bites.trim_end_matches(['.', ' ']);
            assert_eq!(name(Some(bites), None, Compression::None), format!("{wish}.csv"));
        }
        assert_eq!(name(Some("a.hta.gz"), None, Compression::Gzip), "a.hta.csv.gz");
    }
}
