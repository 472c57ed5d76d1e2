//! Installs the stand-in for RDS's extensions aws_s3 and aws_commons in a database of the sandbox, and the program behind it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio_postgres::Client;

pub use super::s3_put::s3_put;

const INSTALL: &str = include_str!("aws_s3.sql");

/// Where the stand-in finds what it needs.
#[derive(Debug, Clone)]
pub struct Place {
    /// The exportbox binary; the database's user must be able to run it. [`place_program`] makes one.
    pub program: PathBuf,
    /// Where the program leaves its results; the database's user must be able to write there.
    pub results: PathBuf,
    /// The region that it plays; another one in a call is an error.
    pub region: String,
}

/// Installs the stand-in, as a superuser of a database that the sandbox made. Nobody may use it until [`grant_to`]. A second installation
/// only moves it to another place.
pub async fn install(client: &Client, place: &Place) -> anyhow::Result<()> {
    let row = client
        .query_one("select to_regnamespace('aws_s3') is not null, to_regclass('aws_s3_sandbox.place') is not null", &[])
        .await
        .context("look for aws_s3")?;
    match (row.get(0), row.get(1)) {
        (false, false) => client.batch_execute(&format!("begin;\n{INSTALL}\ncommit;")).await.context("install the aws_s3 stand-in")?,
        (true, true) => client.batch_execute("delete from aws_s3_sandbox.place").await.context("move the aws_s3 stand-in")?,
        _ => anyhow::bail!("this database has an aws_s3 that is not the sandbox's"),
    }
    let (program, results) = (shell_quoted(&place.program)?, utf8(&place.results)?);
    client
        .execute("insert into aws_s3_sandbox.place (program, results, region) values ($1, $2, $3)", &[&program, &results, &place.region])
        .await
        .context("tell the aws_s3 stand-in its place")?;
    Ok(())
}

/// Lets a role export: the grants that RDS asks for, and what the stand-in needs beside (pg_execute_server_program, and with it the machine).
pub async fn grant_to(client: &Client, role: &str) -> anyhow::Result<()> {
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    let grants = format!(
        "grant usage on schema aws_s3, aws_commons, aws_s3_sandbox to {role};
         grant execute on all functions in schema aws_s3, aws_commons, aws_s3_sandbox to {role};
         grant select on aws_s3_sandbox.place to {role};
         grant pg_execute_server_program to {role};"
    );
    client.batch_execute(&grants).await.context("grant aws_s3")
}

/// Puts a binary (none: the running one) into a directory where the database's user can run it. The place where it was built may be closed to
/// that user. A hard link where that works, else a copy.
pub fn place_program(source: Option<&Path>, dir: &Path) -> anyhow::Result<PathBuf> {
    let source = match source {
        Some(source) => source.to_owned(),
        None => std::env::current_exe().context("find the running program")?,
    };
    let target = dir.join("exportbox");
    let mode = std::fs::metadata(&source).with_context(|| format!("look at {}", source.display()))?.permissions().mode();
    // A link shares the mode with the original, which is not ours to change.
    let linked = mode & 0o005 == 0o005 && std::fs::hard_link(&source, &target).is_ok();
    if !linked {
        std::fs::copy(&source, &target).with_context(|| format!("copy {} into the sandbox", source.display()))?;
        std::fs::set_permissions(&target, Permissions::from_mode(0o755)).context("let the database run the program")?;
    }
    Ok(target)
}

fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// One word for the shell whatever the path holds.
fn shell_quoted(path: &Path) -> anyhow::Result<String> {
    Ok(format!("'{}'", utf8(path)?.replace('\'', r"'\''")))
}
