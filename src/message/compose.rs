//! The text of the mail: what the file is, how current it is, the link, and the instant at which the link really ends.

use std::fmt;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use uuid::Uuid;

use crate::mail::single_line;
use crate::secret::Secret;

const FOOTER: &str = "You get this mail because your address was named as a recipient of this export. \
    Until the link ends, anybody who has it can download the file: pass it on with care.";
const GZIP_HINT: &str =
    "The file is compressed with gzip. On Linux and macOS, gunzip opens it; on Windows, an archive program such as 7-Zip does.";
const JOIN_HINT: &str = "Save every part, then join them in this order; each part goes on where the one before it ends. \
    With the parts saved as part1, part2 and so on:";

/// What the mail tells. Debugs without links and without strings of the request.
#[derive(Clone)]
pub struct Announcement {
    /// The reference that the recipient can quote.
    pub export_id: Uuid,
    /// Name of the report in the catalogue; `None` for an ad-hoc query.
    pub report: Option<String>,
    /// What a download is saved as.
    pub filename: String,
    /// Data rows, where they were counted.
    pub rows: Option<i64>,
    /// Size of the whole file.
    pub bytes: i64,
    /// The instant whose data this is.
    pub as_of: DateTime<Utc>,
    /// The file, in order; at least one.
    pub links: Vec<PartLink>,
    /// When the first of the links dies.
    pub expires_at: DateTime<Utc>,
    /// Until when the link was wished to work.
    pub asked_until: DateTime<Utc>,
    /// What makes the link die earlier than that: `credentials` or `object`.
    pub cut_by: Option<&'static str>,
    /// Of the whole file: a hex digest, with or without `sha256:` before it.
    pub checksum: Option<String>,
    /// The request's own subject.
    pub subject: Option<String>,
    /// The request's own words.
    pub message: Option<String>,
}

/// A link to one part of the file.
#[derive(Clone)]
pub struct PartLink {
    /// Presigned: whoever has it can download.
    pub url: Secret,
    /// Counts from 1.
    pub part: i32,
    /// Size of this part.
    pub bytes: i64,
}

/// A mail without its addresses. Debugs as nothing.
#[derive(Clone)]
pub struct Composed {
    /// One line.
    pub subject: String,
    /// For readers of plain text.
    pub text: String,
    /// The same for everybody else.
    pub html: String,
}

impl fmt::Debug for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcement").field("export_id", &self.export_id).field("links", &self.links).finish_non_exhaustive()
    }
}

impl fmt::Debug for PartLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartLink").field("part", &self.part).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl fmt::Debug for Composed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Composed").finish_non_exhaustive()
    }
}

pub(super) static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    templates.set_syntax(syntax.build().expect("the usual delimiters are usable"));
    // A misspelt name is a fault of ours, not an empty string in a customer's mail.
    // guard: escaping stays on
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    // What is escaped follows from the ending of the name: HTML is, text is not.
    templates.add_template("mail.txt", include_str!("mail.txt")).expect("the template is part of the program");
    templates.add_template("mail.html", include_str!("mail.html")).expect("the template is part of the program");
    for (name, text) in super::notice::TEMPLATES {
        templates.add_template(name, text).expect("the template is part of the program");
    }
    templates
});

/// Write the mail.
pub fn compose(announcement: &Announcement) -> Composed {
    let filename = single_line(&announcement.filename);
    let subject = match announcement.subject.as_deref().map(single_line) {
        Some(subject) if !subject.trim().is_empty() => subject,
        _ => format!("Your export {filename} is ready"),
    };
    Composed { subject, text: render("mail.txt", announcement, &filename), html: render("mail.html", announcement, &filename) }
}

fn render(template: &str, announcement: &Announcement, filename: &str) -> String {
    let html = template.ends_with(".html");
    let parts = announcement.links.len();
    let links: Vec<Value> = announcement
        .links
        .iter()
        .map(|link| context! { url => if html { link_in_html(link.url.reveal()) } else { link.url.reveal().into() }, part => link.part, size => size(link.bytes) })
        .collect();
    let names = |glue: &str| (1..=parts).map(|part| format!("part{part}")).collect::<Vec<_>>().join(glue);
    let size = match announcement.rows {
        Some(rows) => format!("{}, {}", counted(rows, "row"), size(announcement.bytes)),
        None => size(announcement.bytes),
    };
    // gunzip wants the ending. The name itself stays out of a command that people paste into a shell.
    let whole = if filename.ends_with(".gz") { "whole-file.gz" } else { "whole-file" };
    let values = context! {
        filename,
        report => announcement.report.as_deref().map(single_line),
        size,
        as_of => instant(announcement.as_of),
        expires_at => instant(announcement.expires_at),
        cut => cut(announcement),
        message => announcement.message.as_deref().map(|message| message.replace("\r\n", "\n").replace('\r', "\n")).filter(|message| !message.trim().is_empty()),
        links,
        join_hint => JOIN_HINT,
        join_unix => format!("cat {} > {whole}", names(" ")),
        join_windows => format!("copy /b {} {whole}", names("+")),
        gzip_hint => filename.ends_with(".gz").then_some(GZIP_HINT),
        checksum => announcement.checksum.as_deref().map(|checksum| single_line(checksum.strip_prefix("sha256:").unwrap_or(checksum))),
        export_id => announcement.export_id.to_string(),
        footer => FOOTER,
    };
    let template = TEMPLATES.get_template(template).expect("both templates are part of the program");
    template.render(values).expect("every name of the templates has a value above, whatever the request says")
}

/// Why the link ends before the instant that was asked for, in words for people who know nothing of credentials.
fn cut(announcement: &Announcement) -> Option<String> {
    let because = match announcement.cut_by? {
        "credentials" => "the access with which it was signed ends then",
        "object" => "the file itself is deleted then",
        _ => "it cannot be kept open for longer",
    };
    let asked = instant(announcement.asked_until);
    Some(format!("The link ends earlier than asked for ({asked}), because {because}. Please download the file in time."))
}

/// To the minute, rounded down: a link never dies before the instant that the mail names.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

/// A size in the units that download dialogues show (powers of a thousand).
fn size(bytes: i64) -> String {
    if bytes < 1000 {
        return counted(bytes, "byte");
    }
    let mut amount = bytes as f64;
    for unit in ["kB", "MB", "GB"] {
        amount /= 1000.0;
        // What would be written as 1000.0 is one of the next unit.
        if amount < 999.95 {
            return format!("{amount:.1} {unit}");
        }
    }
    format!("{:.1} TB", amount / 1000.0)
}

pub(super) fn counted(count: i64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Digits in groups of three.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A link for an attribute and for text. The template engine would write each slash as a character reference: right, but unreadable
/// for people who look at the source, and for the simpler mail programs.
fn link_in_html(url: &str) -> Value {
    let mut escaped = String::with_capacity(url.len() + 64);
    for c in url.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    Value::from_safe_string(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts_are_written_for_people() {
        for (bytes, written) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (1049, "1.0 kB"),
            (1051, "1.1 kB"),
            (52_345_678, "52.3 MB"),
            (999_949, "999.9 kB"),
            (999_951, "1.0 MB"),
            (999_999_999, "1.0 GB"),
            (50_000_000_000, "50.0 GB"),
            (1_234_500_000_000_000, "1234.5 TB"),
        ] {
            assert_eq!(size(bytes), written, "{bytes}");
        }
        assert_eq!(counted(1_000_000, "row"), "1,000,000 rows");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(0, "row"), "0 rows");
        assert_eq!(grouped(123), "123");
    }

    #[test]
    fn an_instant_is_never_later_than_the_link_lives() {
        let at = "2026-11-22T05:20:59.999Z".parse().expect("an instant");
        assert_eq!(instant(at), "22 November 2026, 05:20 UTC");
    }
}
