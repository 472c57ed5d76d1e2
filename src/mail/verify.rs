//! What `doctor` asks of a transport. No mail is sent.

use aws_sdk_sesv2::config::retry::RetryConfig;

use super::ses::SesClient;
use super::{Mailer, Provider, classify};
use crate::job::Failure;

/// What a transport says of itself.
#[derive(Debug)]
pub enum TransportCheck {
    /// SES: the account, and whether the sender is a verified identity of it (none: it is no identity at all).
    Ses(Result<SesAccount, Failure>, Result<Option<bool>, Failure>),
    /// The mail server takes the login.
    Smtp(Result<(), Failure>),
    /// The directory can be written.
    File(Result<(), Failure>),
}

/// An account of SES in one region.
#[derive(Debug, Clone, PartialEq)]
pub struct SesAccount {
    /// It may send.
    pub sending_enabled: bool,
    /// HEALTHY, PROBATION or SHUTDOWN.
    pub enforcement: String,
    /// False is what AWS calls the sandbox: only verified recipients are mailed.
    pub production_access: bool,
    /// Recipients in 24 hours; -1: unlimited.
    pub most_in_24_hours: f64,
    /// Recipients in the last 24 hours.
    pub sent_in_24_hours: f64,
}

impl Mailer {
    /// Ask the transport whether it would take a mail.
    pub async fn verify(&self) -> TransportCheck {
        match &self.provider {
            Provider::Ses(ses) => {
                let account = ses.account().await;
                TransportCheck::Ses(account, ses.is_verified(self.sender.address(), self.sender.domain()).await)
            }
            Provider::Smtp(smtp) => TransportCheck::Smtp(smtp.verify(self.timeout).await),
            Provider::File(directory) => TransportCheck::File(directory.verify(self.timeout).await),
        }
    }
}

impl SesClient {
    /// Nothing is sent, so a second try does no harm; and SES takes one such call a second.
    fn patient() -> aws_sdk_sesv2::config::Builder {
        aws_sdk_sesv2::Config::builder().retry_config(RetryConfig::standard().with_max_attempts(4))
    }

    async fn account(&self) -> Result<SesAccount, Failure> {
        let asked = self.client.get_account().customize().config_override(SesClient::patient()).send().await;
        let account = asked.map_err(|error| classify::question(&error))?;
        let quota = account.send_quota();
        Ok(SesAccount {
            sending_enabled: account.sending_enabled(),
            enforcement: account.enforcement_status().unwrap_or("HEALTHY").to_string(),
            production_access: account.production_access_enabled(),
            most_in_24_hours: quota.map_or(-1.0, |quota| quota.max24_hour_send()),
            sent_in_24_hours: quota.map_or(0.0, |quota| quota.sent_last24_hours()),
        })
    }

    /// An address is verified by itself, or with its domain or a domain above that.
    async fn is_verified(&self, address: &str, domain: &str) -> Result<Option<bool>, Failure> {
        let above = domain.match_indices('.').map(|(dot, _)| &domain[dot + 1..]).filter(|above| above.contains('.'));
        for identity in [address, domain].into_iter().chain(above) {
            let asked =
                self.client.get_email_identity().email_identity(identity).customize().config_override(SesClient::patient()).send().await;
            match asked {
                Ok(found) => return Ok(Some(found.verified_for_sending_status())),
                Err(error) if classify::is_not_found(&error) => {}
                Err(error) => return Err(classify::question(&error)),
            }
        }
        Ok(None)
    }
}
