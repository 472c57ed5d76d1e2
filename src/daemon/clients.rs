//! What a process works with, made from its settings. Nothing is connected yet.

use anyhow::Context;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_http_client::tls;
use uuid::Uuid;

use crate::config::{Settings, SourceSettings};
use crate::database::{DatabaseUrl, Pool};
use crate::export::ExportOptions;
use crate::mail::{Mailer, Transport};
use crate::source::{DEFAULT_SOURCE, Source, Sources};
use crate::store::{Store, StoreOptions};

/// The connections to the job tables.
pub(super) fn pool(settings: &Settings) -> Pool {
    Pool::for_worker(&settings.database, process_name(), settings.policy.lease, settings.policy.connections)
}

pub(super) fn store(settings: &Settings, s3: &SdkConfig) -> Store {
    let options = StoreOptions {
        bucket: settings.bucket.clone(),
        public_endpoint: settings.public_s3_endpoint.clone(),
        object_life: settings.object_life,
    };
    Store::new(s3, options)
}

pub(super) fn export_options(settings: &Settings, s3: &SdkConfig) -> ExportOptions {
    ExportOptions {
        exporter: settings.exporter,
        prefix: settings.prefix.clone(),
        region: s3.region().map(ToString::to_string),
        part_size: settings.part_size,
        split: settings.split,
    }
}

/// `host:pid:random`: made new at each start, so that a restarted process never inherits the leases of the one before.
fn process_name() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let host = host.or_else(|| std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_string()));
    let host: String = host.unwrap_or_default().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(24).collect();
    let random = Uuid::new_v4().simple().to_string();
    format!("{}:{}:{}", if host.is_empty() { "exportbox" } else { &host }, std::process::id(), &random[..12])
}

/// The SDK's own settings, over one HTTP client.
pub async fn aws_config() -> SdkConfig {
    aws_config_with(|loader| loader).await
}

/// The same with settings of the caller's own on top.
pub async fn aws_config_with(more: impl FnOnce(ConfigLoader) -> ConfigLoader) -> SdkConfig {
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https();
    more(aws_config::defaults(BehaviorVersion::latest()).http_client(http)).load().await
}

/// The default source and those with names of their own.
pub(super) fn all_sources(default: Source, named: &[(String, DatabaseUrl)]) -> Sources {
    let named = named.iter().map(|(name, database)| (name.clone(), Source::new(database.clone())));
    Sources::new(std::iter::once((DEFAULT_SOURCE.to_string(), default)).chain(named))
}

/// The places where queries run, for a command that tries one. Nothing is connected yet.
pub fn sources(settings: &SourceSettings) -> Sources {
    all_sources(Source::new(settings.default.clone()).with_logins(&settings.for_roles), &settings.others)
}

/// Over SMTP or into a directory; none where mails go over SES, which needs the SDK's settings.
pub(super) fn mailer_without_aws(settings: &Settings) -> anyhow::Result<Option<Mailer>> {
    let sender = settings.sender.clone();
    Ok(match &settings.mail {
        Transport::Ses => None,
        Transport::Smtp(server) => Some(Mailer::smtp(server.clone(), sender).context("EXPORTBOX_MAIL")?),
        Transport::File(dir) => Some(Mailer::file(dir, sender)),
    })
}

pub(super) fn mailer_over_ses(settings: &Settings, aws: &SdkConfig) -> Mailer {
    // A retried time-out is a second mail: the queue retries, where "unknown" is a state.
    let config = aws_sdk_sesv2::config::Builder::from(aws).retry_config(aws_config::retry::RetryConfig::disabled()).build();
    Mailer::ses(aws_sdk_sesv2::Client::from_conf(config), settings.sender.clone(), settings.ses_configuration_set.clone())
}
