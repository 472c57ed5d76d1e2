//! Where queries run.

use std::fmt;

use anyhow::{Context, ensure};
use clap::Args;

use crate::database::DatabaseUrl;
use crate::secret::Secret;
use crate::source::DEFAULT_SOURCE;

/// Where queries run.
#[derive(Args, Clone)]
pub struct SourceArgs {
    /// The database where queries run, for example a replica. Default: the outbox's database
    #[arg(long, env = "EXPORTBOX_SOURCE_URL", hide_env_values = true, value_name = "URL")]
    pub source_url: Option<Secret>,
    /// A login of its own for the queries of one role: they run over this URL. Separate several pairs by spaces
    #[arg(long, env = "EXPORTBOX_SOURCE_FOR", hide_env_values = true, value_name = "ROLE=URL", value_delimiter = ' ')]
    pub source_for: Vec<Secret>,
    /// More databases, for reports that name one as their source: "replica=postgres://… archive=postgres://…", separated by spaces
    #[arg(long, env = "EXPORTBOX_SOURCES", hide_env_values = true, value_name = "NAME=URL …")]
    pub sources: Option<Secret>,
}

/// URLs hold secrets.
impl fmt::Debug for SourceArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceArgs(…)")
    }
}

/// Where queries run, checked.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// For every report that names no source, and for ad-hoc queries.
    pub default: DatabaseUrl,
    /// The same place over logins of their own, by role.
    pub for_roles: Vec<(String, DatabaseUrl)>,
    /// By name.
    pub others: Vec<(String, DatabaseUrl)>,
}

impl SourceSettings {
    /// Check the settings; `database` is where queries run unless they say otherwise.
    ///
    /// # Errors
    /// Which one is wrong. Never holds a URL.
    pub fn resolve(database: &DatabaseUrl, args: &SourceArgs) -> anyhow::Result<SourceSettings> {
        let default = match args.source_url.as_ref().filter(|url| !url.is_empty()) {
            Some(url) => DatabaseUrl::parse(url.reveal()).context("EXPORTBOX_SOURCE_URL")?,
            None => database.clone(),
        };
        let for_roles = args.source_for.iter().map(Secret::reveal).filter(|pair| !pair.is_empty()).map(|pair| {
            let (role, url) = pair.split_once('=').filter(|(role, _)| !role.is_empty()).context("EXPORTBOX_SOURCE_FOR: write ROLE=URL")?;
            Ok((role.to_string(), DatabaseUrl::parse(url).context("EXPORTBOX_SOURCE_FOR")?))
        });
        let for_roles = for_roles.collect::<anyhow::Result<Vec<_>>>()?;
        let mut others: Vec<(String, DatabaseUrl)> = Vec::new();
        for entry in args.sources.as_ref().map(Secret::reveal).unwrap_or_default().split_whitespace() {
            let (name, url) = entry.split_once('=').context("EXPORTBOX_SOURCES: write NAME=URL, with spaces between the sources")?;
            let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'));
            ensure!(plain, "EXPORTBOX_SOURCES: a name has lower-case letters, digits, \"_\" and \"-\"; then = and the URL");
            ensure!(name != DEFAULT_SOURCE, "EXPORTBOX_SOURCES: the source \"default\" is EXPORTBOX_SOURCE_URL");
            ensure!(others.iter().all(|(known, _)| known != name), "EXPORTBOX_SOURCES: \"{name}\" is there twice");
            others.push((name.to_string(), DatabaseUrl::parse(url).with_context(|| format!("EXPORTBOX_SOURCES: {name}"))?));
        }
        Ok(SourceSettings { default, for_roles, others })
    }
}
