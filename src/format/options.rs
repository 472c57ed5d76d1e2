//! The options of a request, as COPY reads them.

use serde::Deserialize;

use crate::job::quote_identifier;

/// `force_quote`: all columns or some.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ForceQuote {
    /// `"*"`.
    All(String),
    /// Column names.
    Columns(Vec<String>),
}

/// The `format_options` of a request. The door has checked them; what is not given is COPY's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormatOptions {
    /// A line of column names first.
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
    /// Put a `'` before text that a spreadsheet would run as a formula.
    pub formula_guard: Option<bool>,
}

impl FormatOptions {
    /// What stands between the parentheses of COPY's `WITH ( … )` for a format of its own; aws_s3 takes the same text.
    pub(super) fn for_copy(&self, format: &str) -> String {
        let mut with = vec![format!("format {format}")];
        with.extend(self.header.map(|header| format!("header {header}")));
        let literals = [
            ("delimiter", &self.delimiter),
            ("null", &self.null),
            ("quote", &self.quote),
            ("escape", &self.escape),
            ("encoding", &self.encoding),
        ];
        with.extend(literals.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {}", quote_literal(value)))));
        match &self.force_quote {
            Some(ForceQuote::All(_)) => with.push("force_quote *".into()),
            Some(ForceQuote::Columns(columns)) => {
                let columns: Vec<String> = columns.iter().map(|column| quote_identifier(column)).collect();
                with.push(format!("force_quote ({})", columns.join(", ")));
            }
            None => {}
        }
        with.join(", ")
    }

    /// The name of the file's character set that browsers know. None: they have none for it, and no name is better than a wrong one.
    pub(super) fn charset(&self) -> Option<&'static str> {
        charset(self.encoding.as_deref().unwrap_or("UTF8"))
    }
}

/// A string literal that means the same whatever `standard_conforming_strings` says.
fn quote_literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', r"\\")) } else { format!("'{quoted}'") }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> FormatOptions {
        serde_json::from_str(json).expect("valid options")
    }

    #[test]
    fn options_are_written_as_copy_reads_them() {
        let csv = options(r#"{"delimiter": ";", "null": "\\N", "quote": "'", "force_quote": ["a\"b", "c"], "header": false}"#);
        assert_eq!(csv.for_copy("csv"), r#"format csv, header false, delimiter ';', null E'\\N', quote '''', force_quote ("a""b", "c")"#);
        assert_eq!(options(r#"{"force_quote": "*", "header": true}"#).for_copy("csv"), "format csv, header true, force_quote *");
        assert_eq!(FormatOptions::default().for_copy("text"), "format text");
    }
}
