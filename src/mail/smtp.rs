//! SMTP, one connection for each mail.
//!
//! lettre's transport does not tell at which step it failed, and that decides whether a mail may have left. So the steps are taken
//! here, one by one, on lettre's connection.

use std::path::PathBuf;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Noop, Rcpt};
use lettre::transport::smtp::extension::ClientId;

use super::classify::{self, Phase};
use super::{SmtpServer, TlsMode};
use crate::job::Failure;

/// How long to wait for the answer to QUIT. The mail is accepted by then.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Smtp {
    server: SmtpServer,
    /// `None` where TLS is not wanted.
    tls: Option<TlsParameters>,
    hello: ClientId,
}

/// Why a server cannot be used as it is set up.
#[derive(Debug, thiserror::Error)]
pub enum SmtpSetupError {
    /// The file of `ca=` is missing or not readable.
    #[error("read the certificate authority {path}: {source}; write `ca=` with a PEM file that the daemon's user can read")]
    Unreadable {
        /// What `ca=` names.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file of `ca=` holds no certificate.
    #[error("{path} holds no certificate: write `ca=` with a PEM file (it starts with -----BEGIN CERTIFICATE-----)")]
    NoCertificate {
        /// What `ca=` names.
        path: PathBuf,
    },
    /// lettre refuses the host or the system's certificates.
    #[error("set up TLS for the mail server: check its host name and the system's certificates (package ca-certificates)")]
    Tls(#[source] Error),
}

impl Smtp {
    pub(super) fn new(server: SmtpServer) -> Result<Smtp, SmtpSetupError> {
        let tls = match server.tls {
            TlsMode::None => None,
            _ => Some(tls_parameters(&server)?),
        };
        Ok(Smtp { server, tls, hello: ClientId::default() })
    }

    /// Hand one mail over. When it fails before the line that ends the content is written, nothing was sent.
    pub(super) async fn send(&self, mail: &lettre::Message, limit: Duration) -> Result<(), Failure> {
        let mut phase = Phase::Connect;
        match tokio::time::timeout(limit, self.converse(mail, &mut phase)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(classify::smtp(&error, phase)),
            Err(_) => Err(classify::smtp_silence(phase)),
        }
    }

    async fn converse(&self, mail: &lettre::Message, phase: &mut Phase) -> Result<(), Error> {
        let mut connection = self.open(phase).await?;

        *phase = Phase::Sender;
        connection.command(Mail::new(mail.envelope().from().cloned(), Vec::new())).await?;
        *phase = Phase::Recipient;
        for recipient in mail.envelope().to() {
            connection.command(Rcpt::new(recipient.clone(), Vec::new())).await?;
        }
        *phase = Phase::Content;
        connection.command(Data).await?;
        // The second step is asked for once the first is written: from there on the end of the content may reach the server.
        let content = std::iter::once(mail.formatted()).chain(std::iter::from_fn(|| {
            *phase = Phase::Handed;
            None
        }));
        connection.message_iter(content).await?;

        // Accepted. The caller must not wait for the answer to QUIT, and an error there must not hide that the mail was accepted.
        tokio::spawn(async move { tokio::time::timeout(FAREWELL_TIMEOUT, connection.quit()).await });
        Ok(())
    }

    /// Connect, encrypt, log in, and leave again.
    pub(super) async fn verify(&self, limit: Duration) -> Result<(), Failure> {
        let mut phase = Phase::Connect;
        let verifying = async {
            let mut connection = self.open(&mut phase).await?;
            phase = Phase::Sender;
            connection.command(Noop).await?;
            tokio::spawn(async move { tokio::time::timeout(FAREWELL_TIMEOUT, connection.quit()).await });
            Ok::<(), Error>(())
        };
        match tokio::time::timeout(limit, verifying).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(classify::smtp(&error, phase)),
            Err(_) => Err(classify::smtp_silence(phase)),
        }
    }

    /// A connection, encrypted and logged in as the settings say.
    async fn open(&self, phase: &mut Phase) -> Result<AsyncSmtpConnection, Error> {
        let address = (self.server.host.as_str(), self.server.port);
        let wrapped = self.tls.clone().filter(|_| self.server.tls == TlsMode::Wrapped);
        let mut connection = AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, wrapped, None).await?;

        let upgrade = match self.server.tls {
            TlsMode::Required => true,
            TlsMode::Opportunistic => connection.can_starttls(),
            TlsMode::Wrapped | TlsMode::None => false,
        };
        if let Some(tls) = self.tls.clone().filter(|_| upgrade) {
            *phase = Phase::StartTls;
            connection.starttls(tls, &self.hello).await?;
        }
        if let Some(login) = &self.server.login {
            *phase = Phase::Login;
            let credentials = Credentials::new(login.user.clone(), login.password.reveal().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }

        Ok(connection)
    }
}

fn tls_parameters(server: &SmtpServer) -> Result<TlsParameters, SmtpSetupError> {
    let mut builder = TlsParameters::builder(server.host.clone());
    if let Some(path) = &server.ca {
        let pem = std::fs::read(path).map_err(|source| SmtpSetupError::Unreadable { path: path.clone(), source })?;
        // lettre takes a file without any certificate for an empty list.
        if !pem.windows(17).any(|window| window == b"BEGIN CERTIFICATE") {
            return Err(SmtpSetupError::NoCertificate { path: path.clone() });
        }
        let certificate = Certificate::from_pem(&pem).map_err(|_| SmtpSetupError::NoCertificate { path: path.clone() })?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(SmtpSetupError::Tls)
}
