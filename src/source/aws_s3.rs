//! The in-database exporter's half on the database: the server writes to S3 by itself.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Session;
use super::classify::{self, Phase};
use crate::job::Failure;
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
    /// S3 encrypts the file with this key; none: with the bucket's own setting.
    pub kms_key: Option<&'a str>,
}

/// What the server has of aws_s3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwsS3 {
    /// The role of the export may call it.
    pub usable: bool,
    /// The daemon's login may.
    pub usable_by_login: bool,
    /// It takes a key of one's own.
    pub takes_key: bool,
}

impl AwsS3 {
    /// From a row of `sql/source/aws_s3_usable.sql`.
    pub(super) fn from_row(row: &Row) -> AwsS3 {
        let may = |who: &str| row.get::<_, Option<bool>>(who) == Some(true);
        AwsS3 { usable: may("usable"), usable_by_login: may("usable_by_login"), takes_key: row.get("takes_key") }
    }
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
    pub async fn may_use_aws_s3(&self) -> Result<Option<AwsS3>, Failure> {
        let row = self.client.query_typed_opt(sql::AWS_S3_USABLE, &[]).await.map_err(|error| classify::failure(&error, Phase::Open))?;
        Ok(row.as_ref().map(AwsS3::from_row))
    }

    /// Give the export's role back: what follows is done with the login's own rights. A sealed report runs with its role's rights all the same, as
    /// its function has them.
    ///
    /// # Errors
    /// The source's.
    pub async fn drop_role(&self) -> Result<(), Failure> {
        self.client.query_typed_one(sql::DROP_ROLE, &[]).await.map(drop).map_err(|error| classify::failure(&error, Phase::Open))
    }

    /// Have the server export the query.
    ///
    /// # Errors
    /// The query's own fault, the store's or the source's. Files may be left then.
    pub async fn export_aws_s3(&self, query: &str, options: &str, target: Target<'_>) -> Result<Uploaded, Failure> {
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&query, &target.bucket, &target.key, &target.region, &options];
        // The argument is named only where there is a key: older functions do not have it.
        let statement = match &target.kms_key {
            None => sql::EXPORT_AWS_S3,
            Some(kms_key) => {
                params.push(kms_key);
                sql::EXPORT_AWS_S3_WITH_KEY
            }
        };
        let row = self.client.query_typed_one(statement, &sql::typed(statement, &params)).await;
        let row = row.map_err(|error| classify::failure(&error, Phase::AwsS3))?;
        Ok(Uploaded { rows: row.get("rows_uploaded"), files: row.get("files_uploaded"), bytes: row.get("bytes_uploaded") })
    }
}
