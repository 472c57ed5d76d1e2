//! The SES stand-in: answers the SESv2 calls that exportbox makes with AWS's documented errors, and keeps every mail as .eml.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use hyper_util::service::TowerToHyperService;

use super::faults::Faults;
use super::front::Front;
use super::mailbox::{Mailbox, StoredMail};
use super::ses_calls;
use super::wire::Wire;

/// What a [`Ses`] is started with.
#[derive(Debug, Clone)]
pub struct SesOptions {
    /// Where the .eml files go; created when missing.
    pub dir: PathBuf,
    /// The address to listen on; other machines reach only what is not loopback.
    pub host: IpAddr,
    /// The port; none: a free one.
    pub port: Option<u16>,
    /// The region that it plays; part of the Message-ID.
    pub region: String,
    /// The one access key that it takes; none: any. Signatures are not checked, only their time.
    pub access_key: Option<String>,
    /// Verified addresses and domains; none: all are verified.
    pub verified: Option<Vec<String>>,
    /// Configuration sets that exist; none: all exist.
    pub configuration_sets: Option<Vec<String>>,
    /// False is what AWS calls the sandbox: recipients must be verified, too.
    pub production_access: bool,
    /// Recipients in 24 hours; -1: unlimited.
    pub max_24_hour_send: f64,
    /// Recipients in a second, as `GetAccount` tells it. Not enforced: script a fault for that.
    pub max_send_rate: f64,
}

impl Default for SesOptions {
    fn default() -> SesOptions {
        SesOptions {
            dir: PathBuf::from("mails"),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
            region: "eu-west-1".into(),
            access_key: None,
            verified: None,
            configuration_sets: None,
            production_access: true,
            max_24_hour_send: 50_000.0,
            max_send_rate: 14.0,
        }
    }
}

/// A suppressed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suppressed {
    pub(super) address: String,
    pub(super) reason: String,
    pub(super) since: DateTime<Utc>,
}

/// What changes while it runs.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) sending_enabled: bool,
    pub(super) max_24_hour_send: f64,
    /// Recipients since the start; nothing here lives for 24 hours.
    pub(super) sent: u64,
    pub(super) suppressed: Vec<Suppressed>,
}

/// What every call sees.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) options: Arc<SesOptions>,
    pub(super) account: Arc<Mutex<Account>>,
    pub(super) mailbox: Mailbox,
}

impl Desk {
    pub(super) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is this address, or its domain, a verified identity? Addresses compare without regard to case here.
    pub(super) fn verified(&self, address: &str) -> bool {
        let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain);
        self.options.verified.as_ref().is_none_or(|verified| {
            verified.iter().any(|identity| identity.eq_ignore_ascii_case(address) || identity.eq_ignore_ascii_case(domain))
        })
    }
}

/// A running SES stand-in. Dropping it closes all connections; the mails stay on disk.
pub struct Ses {
    front: Front,
    desk: Desk,
    faults: Faults,
}

impl Ses {
    /// Starts it.
    pub async fn start(options: &SesOptions) -> anyhow::Result<Ses> {
        let account = Account { sending_enabled: true, max_24_hour_send: options.max_24_hour_send, sent: 0, suppressed: Vec::new() };
        let desk =
            Desk { mailbox: Mailbox::new(&options.dir)?, options: Arc::new(options.clone()), account: Arc::new(Mutex::new(account)) };
        let faults = Faults::default();
        let address = SocketAddr::new(options.host, options.port.unwrap_or(0));
        let front = Front::start(address, Wire::Ses, faults.clone(), TowerToHyperService::new(ses_calls::router(desk.clone())?)).await?;
        Ok(Ses { front, desk, faults })
    }

    /// The URL for `AWS_ENDPOINT_URL_SESV2`; in a browser, the list of mails.
    pub fn endpoint(&self) -> String {
        self.front.endpoint()
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.front.port()
    }

    /// Where the .eml files lie.
    pub fn dir(&self) -> &Path {
        self.desk.mailbox.dir()
    }

    /// Every accepted mail, oldest first.
    pub fn mails(&self) -> Vec<StoredMail> {
        self.desk.mailbox.mails()
    }

    /// Forgets every mail, and removes their files: whoever sends a hundred thousand of them may need the room.
    pub fn empty(&self) -> anyhow::Result<()> {
        Ok(self.desk.mailbox.empty()?)
    }

    /// Waits until at least `count` mails are there. Put a timeout around it.
    pub async fn until_mails(&self, count: usize) {
        self.desk.mailbox.until(count).await;
    }

    /// The scripted faults and the counts of requests.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Pauses or resumes sending for the account.
    pub fn set_sending_enabled(&self, enabled: bool) {
        self.desk.account().sending_enabled = enabled;
    }

    /// Sets how many recipients may be mailed; -1: unlimited.
    pub fn set_max_24_hour_send(&self, recipients: f64) {
        self.desk.account().max_24_hour_send = recipients;
    }

    /// Puts an address on the suppression list, as a bounce would.
    pub fn suppress(&self, address: &str) {
        ses_calls::suppress(&mut self.desk.account(), address, "BOUNCE");
    }

    /// Closes the listener and every connection.
    pub async fn stop(&mut self) {
        self.front.stop().await;
    }
}
