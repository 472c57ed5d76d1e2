//! The bucket, the credentials, and what lies about in it.

use chrono::TimeDelta;
use futures_util::FutureExt;
use uuid::Uuid;

use super::{Doctor, Finding, Known, instant};

/// Keys that are asked for at once.
const AT_ONCE: usize = 1000;

impl Doctor {
    pub(super) async fn bucket(&self, known: &mut Known) -> Vec<Finding> {
        let probed = async {
            match self.store.probe().await {
                Ok(()) => Finding::ok("bucket", "the bucket is there and lets these credentials in"),
                Err(failure) => Finding::failed("bucket", &failure),
            }
        };
        let findings = self.all(vec![("bucket", probed.boxed()), ("credentials", self.credentials().boxed())], None).await;
        known.has_bucket = findings[0].status == super::CheckStatus::Ok;
        findings
    }

    async fn credentials(&self) -> Finding {
        let end = match self.store.credentials_end().await {
            Ok(Some(end)) => end,
            Ok(None) => return Finding::ok("credentials", "they do not end by themselves, so links live as long as asked"),
            Err(failure) => return Finding::failed("credentials", &failure),
        };
        let left = end - self.store.now();
        let wish = TimeDelta::from_std(self.link_ttl).unwrap_or(TimeDelta::MAX);
        if left <= TimeDelta::zero() {
            return Finding::fail(
                "credentials",
                format!("they ended at {}", instant(end)),
                "renew the session, or let the daemon take them from a role",
            );
        }
        if left < wish {
            let said = format!("they end at {}, and links die with them: before EXPORTBOX_LINK_TTL", instant(end));
            return Finding::warn(
                "credentials",
                said,
                "lower EXPORTBOX_LINK_TTL, or sign with the key of an IAM user: see docs/operations/files-and-mails.md#links",
            );
        }
        Finding::ok("credentials", format!("they end at {}, later than a link signed now", instant(end)))
    }

    pub(super) async fn orphans(&self, known: &Known) -> Finding {
        if !known.has_bucket || known.server.is_none() {
            return Finding::skipped("orphans", "it takes both the bucket and the database");
        }
        let prefix = self.options.prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let (keys, has_more) = match self.store.keys_under(&prefix, self.limits.objects).await {
            Ok(found) => found,
            Err(failure) => return Finding::failed("orphans", &failure),
        };
        let ours: Vec<(String, Uuid)> = keys.iter().filter_map(|key| Some((key.clone(), token_in(key)?))).collect();
        let mut orphans = 0;
        for some in ours.chunks(AT_ONCE) {
            let (keys, tokens): (Vec<String>, Vec<Uuid>) = some.iter().cloned().unzip();
            match self.admin.orphans(self.store.bucket(), &keys, &tokens).await {
                Ok(found) => orphans += found,
                Err(error) => return Finding::refused("orphans", &error),
            }
        }
        let looked = format!("{} objects looked at{}", keys.len(), if has_more { ", and there are more" } else { "" });
        if orphans == 0 {
            return Finding::ok("orphans", format!("{looked}: each belongs to an export of this database"));
        }
        Finding::warn(
            "orphans",
            format!("{looked}: {orphans} belong to no export of this database"),
            "if no other database uses this prefix, let the bucket's lifecycle rule expire them: see docs/operations/files-and-mails.md#s3",
        )
    }
}

/// The lease token in a key of ours: …/export id/lease token/filename.
fn token_in(key: &str) -> Option<Uuid> {
    let mut segments = key.rsplit('/').skip(1);
    let token = segments.next()?.parse().ok()?;
    let _export: Uuid = segments.next()?.parse().ok()?;
    Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_exportbox_makes_are_judged() {
        let (export, token) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(token_in(&format!("exports/{export}/{token}/a.csv")), Some(token));
        assert_eq!(token_in(&format!("{export}/{token}/a.csv_part2")), Some(token));
        for key in ["a.csv", "exports/a.csv", &format!("exports/{token}/a.csv"), &format!("exports/{export}/{token}")] {
            assert_eq!(token_in(key), None, "{key}");
        }
    }
}
