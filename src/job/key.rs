//! Where an attempt's objects lie: prefix / export id / lease token / filename. Two attempts never share a key (I4).

use uuid::Uuid;

use super::LeaseToken;

/// The key of an attempt's file, and the prefix under which everything of the attempt lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectKey {
    prefix: String,
    filename: String,
}

impl ObjectKey {
    /// The key for one attempt. The filename is cut down to characters that every store, shell and URL takes; the browser's name for the
    /// file is not affected, it travels in the link.
    pub fn new(prefix: &str, export_id: Uuid, token: LeaseToken, filename: &str) -> ObjectKey {
        let prefix = prefix.trim_matches('/');
        let separator = if prefix.is_empty() { "" } else { "/" };
        let mut plain: String =
            filename.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' }).collect();
        if plain.chars().all(|c| c == '.') {
            plain = "export".into();
        }
        // guard: lease token
        ObjectKey { prefix: format!("{prefix}{separator}{export_id}/{token}/"), filename: plain }
    }

    /// Every key of the attempt begins so.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of the first (with `copy`: the only) file.
    pub fn full(&self) -> String {
        format!("{}{}", self.prefix, self.filename)
    }

    /// The key of a part as aws_s3 names it: the first is the key itself, then `_part2`, `_part3`, … at its very end.
    pub fn part(&self, number: i64) -> String {
        if number <= 1 { self.full() } else { format!("{}_part{number}", self.full()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_lease_token_and_only_plain_characters() {
        let (export_id, token) = (Uuid::from_u128(1), LeaseToken(Uuid::from_u128(2)));
        let key = ObjectKey::new("/exports/", export_id, token, "Umsätze März.csv.gz");
        assert_eq!(key.full(), format!("exports/{export_id}/{token}/Ums_tze_M_rz.csv.gz"));
        assert_eq!(key.part(3), format!("{}_part3", key.full()));
        assert!(ObjectKey::new("", export_id, token, "a.csv").full().starts_with(&export_id.to_string()));
    }
}
