//! The name of a downloaded file, with the endings that its content needs.

use super::Compression;

/// Endings of files that are opened and not run, whatever is in them.
const HARMLESS: [&str; 7] = [".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".log"];

/// The name that the browser saves: what the requester wishes, or the report's name, with the endings that the content needs. A wished ending that a
/// machine would run (`.hta`, `.pdf.exe`) gets the content's own behind it.
pub(super) fn download_name(wish: Option<&str>, report: Option<&str>, ending: &str, compression: Compression) -> String {
    let wish = wish.map(|wish| wish.trim_end_matches(|c: char| c == '.' || c.is_whitespace())).filter(|wish| !wish.is_empty());
    let Some(wish) = wish else { return format!("{}.{ending}{}", report.unwrap_or("export"), compression.ending()) };
    let ends_with = |name: &str, ending: &str| !ending.is_empty() && name.to_ascii_lowercase().ends_with(ending);
    let wished = Compression::ALL.iter().map(|compression| compression.ending()).find(|ending| ends_with(wish, ending));
    let (name, compressed) = wish.split_at(wish.len() - wished.map_or(0, str::len));
    let compressed = if compressed.is_empty() { compression.ending() } else { compressed };
    if HARMLESS.iter().any(|harmless| ends_with(name, harmless)) || ends_with(name, &format!(".{ending}")) {
        return format!("{name}{compressed}");
    }
    format!("{name}.{ending}{compressed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_has_the_endings_of_its_content() {
        let name = |wish, report, compression| download_name(wish, report, "csv", compression);
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
        assert_eq!(download_name(Some("a.XLSX"), None, "xlsx", Compression::None), "a.XLSX");
    }
}
