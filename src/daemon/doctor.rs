//! The parts of a process, for `doctor`.

use aws_config::SdkConfig;

use super::clients::{all_sources, aws_config, export_options, mailer_over_ses, mailer_without_aws, pool, store};
use super::connections::connections_needed;
use crate::admin::Admin;
use crate::config::Settings;
use crate::doctor::{self, Doctor};
use crate::source::Source;

/// Everything that a daemon with these settings would work with, for `doctor`. Nothing is connected yet.
///
/// # Errors
/// A setting that turns out to be wrong only now, such as a file that cannot be read.
pub async fn doctor(settings: Settings) -> anyhow::Result<Doctor> {
    let sdk = aws_config().await;
    doctor_with(settings, doctor::CheckLimits::default(), &sdk, &sdk)
}

/// The same with AWS settings that are already there, and limits of the caller's own.
///
/// # Errors
/// As `doctor`.
pub fn doctor_with(settings: Settings, limits: doctor::CheckLimits, s3: &SdkConfig, ses: &SdkConfig) -> anyhow::Result<Doctor> {
    let source = Source::new(settings.source.clone()).with_logins(&settings.source_for);
    Ok(Doctor {
        admin: Admin::new(pool(&settings)),
        place: settings.database.to_string(),
        has_direct: settings.direct.is_some(),
        is_pooled: settings.database.is_pooled(),
        connections: connections_needed(&settings),
        sources: all_sources(source, &settings.named_sources),
        store: store(&settings, s3),
        options: export_options(&settings, s3),
        mailer: mailer_without_aws(&settings)?.unwrap_or_else(|| mailer_over_ses(&settings, ses)),
        link_ttl: settings.link_ttl,
        limits,
    })
}
