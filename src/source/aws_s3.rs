//! The in-database exporter's half on the database: the server writes to S3 by itself.

use super::Session;
use super::classify::{self, Phase};
use super::shape::{bare, copy_options, shaped};
use crate::job::{ExportJob, Failure};
use crate::sql;

/// Where the server shall write.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The bucket; must be of the server's own account.
    pub bucket: &'a str,
    /// The key of the first file; never with a leading slash.
    pub key: &'a str,
    /// The bucket's and the server's region.
    pub region: &'a str,
}

/// What the function returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploaded {
    /// Data rows, the header not counted.
    pub rows: i64,
    /// Files: `key`, `key_part2`, …
    pub files: i64,
    /// Bytes of all files.
    pub bytes: i64,
}

impl Session {
    /// Whether the role of this export may call aws_s3. `None`: the server has no such function. It is found by its signature, not by the
    /// extension's name.
    ///
    /// # Errors
    /// The source's.
    pub async fn may_use_aws_s3(&self) -> Result<Option<bool>, Failure> {
        let row = self.client.query_typed_opt(sql::AWS_S3_USABLE, &[]).await.map_err(|error| classify::failure(&error, Phase::Open))?;
        Ok(row.and_then(|row| row.get("usable")))
    }

    /// Have the server export the query.
    ///
    /// # Errors
    /// The query's own fault, the store's or the source's. Files may be left then.
    pub async fn export_aws_s3(&self, job: &ExportJob, target: Target<'_>) -> Result<Uploaded, Failure> {
        let columns = self.describe(bare(&job.query)).await?;
        let (query, options) = (shaped(job, &columns), copy_options(job, &columns));
        let row = self
            .client
            .query_typed_one(
                sql::EXPORT_AWS_S3,
                &sql::typed(sql::EXPORT_AWS_S3, &[&query, &target.bucket, &target.key, &target.region, &options]),
            )
            .await
            .map_err(|error| classify::failure(&error, Phase::AwsS3))?;
        Ok(Uploaded { rows: row.get("rows_uploaded"), files: row.get("files_uploaded"), bytes: row.get("bytes_uploaded") })
    }
}
