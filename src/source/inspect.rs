//! What `doctor` asks of a source.

use super::Source;
use super::aws_s3::AwsS3;
use super::connect::over_own_connection;
use crate::database::Server;
use crate::job::Failure;
use crate::sql;

/// A role that exports run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its name.
    pub role: String,
    /// The server has such a role.
    pub is_there: bool,
    /// The login may become it.
    pub may_become: bool,
}

/// A source, as the login sees it.
#[derive(Debug, Clone)]
pub struct SourceFacts {
    /// The server.
    pub server: Server,
    /// What the login may use of aws_s3; none: the server has none.
    pub aws_s3: Option<AwsS3>,
    /// The roles that were asked for.
    pub roles: Vec<Membership>,
}

impl Source {
    /// Look at the server, and at what the login may do with these roles.
    ///
    /// # Errors
    /// When the source cannot be asked.
    pub async fn inspect(&self, roles: &[String]) -> Result<SourceFacts, Failure> {
        over_own_connection(self.database(), "exportbox doctor", async |client| {
            let server = Server::from_row(&client.query_typed_one(sql::EXAMINE_SERVER, &[]).await?);
            let aws_s3 = client.query_typed_opt(sql::AWS_S3_USABLE, &[]).await?;
            let aws_s3 = aws_s3.as_ref().map(AwsS3::from_row);
            let rows = client.query_typed(sql::EXAMINE_MEMBERSHIP, &sql::typed(sql::EXAMINE_MEMBERSHIP, &[&roles])).await?;
            let roles = rows
                .iter()
                .map(|row| Membership { role: row.get("role"), is_there: row.get("is_there"), may_become: row.get("may_become") })
                .collect();
            Ok(SourceFacts { server, aws_s3, roles })
        })
        .await
    }

    /// Whether the queries of this role run over a login of its own.
    pub fn has_login_for(&self, role: &str) -> bool {
        self.logins().contains_key(role)
    }
}
