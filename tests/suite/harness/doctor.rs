//! `doctor` over a world, in the test's process, and what it found.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_types::sdk_config::TimeSource;
use chrono::Utc;
use exportbox::daemon::doctor_with;
use exportbox::doctor::{CheckLimits, CheckStatus, Diagnosis};

use super::{ACCESS_KEY, SECRET_KEY, World, canary};

/// A clock that is off by so many seconds.
#[derive(Debug)]
pub struct Off(pub i64);

impl TimeSource for Off {
    fn now(&self) -> SystemTime {
        (Utc::now() + chrono::TimeDelta::seconds(self.0)).into()
    }
}

impl World {
    /// What doctor says of this world.
    pub async fn doctor(&self) -> Diagnosis {
        self.doctor_with(CheckLimits::default()).await
    }

    /// The same with limits of the test's own.
    pub async fn doctor_with(&self, limits: CheckLimits) -> Diagnosis {
        self.diagnosed(limits, self.s3_config.clone()).await
    }

    /// What it says on a machine whose clock is ahead by so many seconds.
    pub async fn doctor_ahead_by(&self, seconds: i64) -> Diagnosis {
        self.diagnosed(CheckLimits::default(), self.s3_config.clone().into_builder().time_source(Off(seconds)).build()).await
    }

    /// What it says of credentials that end in so many seconds.
    pub async fn doctor_with_credentials_for(&self, seconds: i64) -> Diagnosis {
        let end = SystemTime::from(Utc::now() + chrono::TimeDelta::seconds(seconds));
        let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, Some(end), "test");
        let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
        self.diagnosed(CheckLimits::default(), self.s3_config.clone().into_builder().credentials_provider(provider).build()).await
    }

    async fn diagnosed(&self, limits: CheckLimits, s3: SdkConfig) -> Diagnosis {
        let report = doctor_with(self.settings.clone(), limits, &s3, &self.ses_config).unwrap().check().await;
        for finding in &report.findings {
            let said = format!("{} {} {}", finding.name, finding.finding, finding.fix.clone().unwrap_or_default());
            assert_eq!(canary::leak_in(&said), None, "doctor says what it should not");
        }
        report
    }
}

/// This check ended so, and said these words: of what is, and of what to do.
pub fn assert_found(report: &Diagnosis, name: &str, status: CheckStatus, words: &[&str]) {
    let finding = report.of(name).unwrap_or_else(|| panic!("no check {name}: {report:#?}"));
    let said = format!("{} → {}", finding.finding, finding.fix.clone().unwrap_or_default());
    assert_eq!(finding.status, status, "{name}: {said}");
    assert_eq!(finding.fix.is_some(), matches!(status, CheckStatus::Warn | CheckStatus::Fail), "{name}: {said}");
    for word in words {
        assert!(said.contains(word), "{name} does not say {word:?}: {said}");
    }
}

/// Everything but these checks has nothing to complain of.
pub fn assert_rest_is_fine(report: &Diagnosis, but: &[&str]) {
    for finding in report.findings.iter().filter(|finding| !but.contains(&finding.name)) {
        assert!(matches!(finding.status, CheckStatus::Ok | CheckStatus::Skipped), "{finding:?}");
    }
}
