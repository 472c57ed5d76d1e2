//! One message to one recipient, over SES, SMTP or into a directory.
//!
//! Must not know: jobs, leases, the database, what a mail says. It gets a finished text and gives back the provider's id or a
//! `Failure` whose verdict tells apart what was refused, what never left, and what may have left (`Verdict::Unknown`).
//! Nothing in this room sends twice: every transport makes exactly one attempt, and each attempt ends within its timeout.
//! No address, link or password leaves it in a `Display`, a `Debug` or a sentence of a failure.

mod classify;
mod file;
mod message;
mod sender;
mod ses;
mod smtp;
mod transport;
mod verify;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use message::{Message, single_line};
pub use sender::{Sender, SenderError};
pub use ses::Quota;
pub use smtp::SmtpSetupError;
pub use transport::{Login, SmtpServer, TlsMode, Transport, TransportError};
pub use verify::{SesAccount, TransportCheck};

use crate::job::Failure;

/// How long one attempt to send may take unless [`Mailer::with_timeout`] says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends messages over one transport, in the name of one sender.
pub struct Mailer {
    provider: Provider,
    sender: Sender,
    timeout: Duration,
}

enum Provider {
    // The client's handle is larger than the other two.
    Ses(Box<ses::SesClient>),
    Smtp(Box<smtp::Smtp>),
    File(file::Directory),
}

impl Mailer {
    /// Over SES v2. `client` needs no settings for retries or timeouts: each call overrides them. Events about a mail are published
    /// through `configuration_set` only.
    pub fn ses(client: aws_sdk_sesv2::Client, sender: Sender, configuration_set: Option<String>) -> Mailer {
        Mailer::new(Provider::Ses(Box::new(ses::SesClient::new(client, configuration_set))), sender)
    }

    /// Over SMTP, one connection for each mail. Fails when the certificates that the server is checked against cannot be read.
    pub fn smtp(server: SmtpServer, sender: Sender) -> Result<Mailer, SmtpSetupError> {
        Ok(Mailer::new(Provider::Smtp(Box::new(smtp::Smtp::new(server)?)), sender))
    }

    /// Into a directory, one `.eml` for each delivery; the directory is made when the first mail comes.
    pub fn file(directory: impl Into<PathBuf>, sender: Sender) -> Mailer {
        Mailer::new(Provider::File(file::Directory::new(directory.into())), sender)
    }

    fn new(provider: Provider, sender: Sender) -> Mailer {
        Mailer { provider, sender, timeout: DEFAULT_TIMEOUT }
    }

    /// The longest that one attempt may take, from the first packet to the provider's answer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Mailer {
        self.timeout = timeout;
        self
    }

    /// `ses`, `smtp` or `file`.
    pub fn provider(&self) -> &'static str {
        match self.provider {
            Provider::Ses(_) => "ses",
            Provider::Smtp(_) => "smtp",
            Provider::File(_) => "file",
        }
    }

    /// Who the mails are from.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The provider's daily quota, asked for within a few seconds. `None`: this transport has none. An error is the provider's code for why it
    /// does not tell.
    pub async fn quota(&self) -> Option<Result<Quota, String>> {
        match &self.provider {
            Provider::Ses(ses) => Some(ses.quota().await),
            Provider::Smtp(_) | Provider::File(_) => None,
        }
    }

    /// Send one message, once. Returns the id under which the provider knows it: SES's message id, the `Message-ID` without its
    /// brackets over SMTP, the name of the file.
    ///
    /// A dropped future may have sent the mail: who cancels must treat it as unknown.
    pub async fn send(&self, message: &Message) -> Result<String, Failure> {
        let mail = message.to_mime(&self.sender)?;
        match &self.provider {
            Provider::Ses(ses) => ses.send(&mail, &self.sender, message, self.timeout).await,
            Provider::Smtp(smtp) => smtp.send(&mail, self.timeout).await.map(|()| message.message_id(&self.sender)),
            Provider::File(directory) => directory.put(message.delivery_id, &mail.formatted(), self.timeout).await,
        }
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("provider", &self.provider()).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
