//! File names that are safe to save on every system, whatever the request says.

/// Bytes of the longest name: 255 is what file systems take, and parts and copies get more endings.
const LONGEST: usize = 200;
/// Devices of Windows, with any ending.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// The name as it is offered to a browser: the wish, with everything that a file system, a shell or the eye could take for something else
/// replaced by `_`. The rule, in this order:
///
/// 1. control characters, `/ \ : * ? " < > |`, line and paragraph separators, and the invisible characters that turn or hide text become `_`;
/// 2. spaces and dots at the end are cut, and spaces at the start;
/// 3. a leading `.`, `-` or `~`, and a name that is a device of Windows (`CON`, `nul.csv`, `LPT1.x`), get a `_` in front;
/// 4. what is longer than 200 bytes loses characters before its last two endings;
/// 5. nothing left: `export`.
pub fn safe_filename(wish: &str) -> String {
    // guard: plain name
    let plain: String = wish.chars().map(|c| if is_unsafe(c) { '_' } else { c }).collect();
    let mut name = plain.trim_start().trim_end_matches(|c: char| c == '.' || c.is_whitespace()).to_string();
    if name.is_empty() {
        return "export".into();
    }
    if name.starts_with(['.', '-', '~']) || is_device(&name) {
        name.insert(0, '_');
    }
    shortened(&name)
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        // Invisible: zero-width space, direction marks, separators, embeddings and overrides, isolates, byte order mark, tags. The two joiners
        // (U+200C, U+200D) are part of Persian words and of emoji and turn nothing.
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = |device: &str| {
        let mut rest = stem.strip_prefix(device).unwrap_or_default().chars();
        // Windows takes superscript digits for digits.
        matches!(rest.next(), Some('0'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}')) && rest.next().is_none()
    };
    DEVICES.contains(&stem.as_str()) || numbered("com") || numbered("lpt")
}

/// Whole characters are cut in front of the last two endings (`.csv.gz`), so that the type stays readable.
fn shortened(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.into();
    }
    let mut endings = name.rmatch_indices('.').map(|(at, _)| at).take(2).filter(|at| name.len() - at <= 20);
    let last = endings.next().unwrap_or(name.len());
    let ending = &name[endings.next().unwrap_or(last)..];
    let mut end = LONGEST - ending.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", name[..end].trim_end_matches(|c: char| c == '.' || c.is_whitespace()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_usual_name_stays_as_it_is() {
        for name in [
            "orders.csv",
            "Umsätze März (2026) – final.csv.gz",
            "報告書.csv",
            "👩‍👩‍👧 x.jsonl",
            "a'b;c&d$e!.csv",
            "console.csv",
            "com10.csv",
            "_.csv",
        ] {
            assert_eq!(safe_filename(name), name);
        }
    }

    #[test]
    fn a_name_that_bites_is_defused() {
        for (wish, safe) in [
            ("", "export"),
            (" . ", "export"),
            ("...", "export"),
            ("../../etc/passwd", "_.._.._etc_passwd"),
            ("C:\\x.csv", "C__x.csv"),
            ("a\"b<c>|d?e*.csv", "a_b_c__d_e_.csv"),
            ("invoice\u{202e}vsc.exe", "invoice_vsc.exe"),
            ("a\u{200b}b\u{feff}.csv", "a_b_.csv"),
            ("a\r\nb\0.csv", "a__b_.csv"),
            ("CON", "_CON"),
            ("nul.csv", "_nul.csv"),
            ("Lpt1.tar.gz", "_Lpt1.tar.gz"),
            ("com\u{b9}.csv", "_com\u{b9}.csv"),
            ("aux .csv", "_aux .csv"),
            ("report.csv. . ", "report.csv"),
            (".bashrc", "_.bashrc"),
            ("-rf", "_-rf"),
            ("~root", "_~root"),
        ] {
            assert_eq!(safe_filename(wish), safe, "{wish:?}");
        }
        let long = safe_filename(&format!("{}.csv.gz", "é".repeat(170)));
        assert!(long.len() <= LONGEST && long.ends_with("é.csv.gz"), "{long}");
    }

    proptest! {
        #[test]
        fn every_name_is_safe_on_every_system(wish in any::<String>()) {
            let name = safe_filename(&wish);
            prop_assert!((1..=LONGEST).contains(&name.len()), "{}", name.len());
            prop_assert!(!name.chars().any(is_unsafe));
            prop_assert!(!name.starts_with(['.', '-', '~', ' ']) && !name.ends_with(['.', ' ']), "{name:?}");
            prop_assert!(!is_device(&name), "{name:?}");
            prop_assert_eq!(safe_filename(&name), name.clone());
        }
    }
}
