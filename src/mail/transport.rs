//! Which way mails leave: the setting `EXPORTBOX_MAIL`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

use crate::secret::Secret;

/// A transport as the setting names it. Neither `Debug` nor `Display` shows a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// `ses`: Amazon SES v2, with the SDK's own settings for region, endpoint and credentials.
    Ses,
    /// `smtp://…` or `smtps://…`.
    Smtp(SmtpServer),
    /// `file:DIR`.
    File(PathBuf),
}

/// A mail server, as an `smtp(s)://[user:password@]host[:port][?tls=…&ca=…]` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpServer {
    /// Name or address; the name is what the server's certificate must be for.
    pub host: String,
    /// TCP port: unless given, 465 for `smtps`, 25 without TLS, 587 else.
    pub port: u16,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// A PEM file with the certificate authority to trust besides the system's own.
    pub ca: Option<PathBuf>,
    /// Whom to log in as.
    pub login: Option<Login>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// `smtps://`: TLS from the first byte.
    Wrapped,
    /// The default of `smtp://`, or `tls=required`: STARTTLS, and no mail without it.
    Required,
    /// `tls=opportunistic`: STARTTLS where it is offered. Whoever sits between can take the offer away.
    Opportunistic,
    /// `tls=none`: in clear, for a server on the same machine or network.
    None,
}

/// A user name and a password. Debugs as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// In clear, without percent-encoding.
    pub user: String,
    /// In clear, without percent-encoding.
    pub password: Secret,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(***)")
    }
}

/// What is wrong with the setting, and what to write instead. Repeats nothing of the setting: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// None of the three.
    #[error(
        "the mail transport is not known: write `ses`, `smtp://user:password@host:587`, `smtps://user:password@host` or `file:DIRECTORY`"
    )]
    Unknown,
    /// `file:` alone.
    #[error("the mail directory is missing: write `file:DIRECTORY`, for example `file:/var/spool/exportbox`")]
    NoDirectory,
    /// Not a URL.
    #[error(
        "the SMTP address is not a URL: write `smtp://user:password@host:587`, and in the user and the password \
         `%40` for `@`, `%3A` for `:`, `%2F` for `/`, `%23` for `#`, `%25` for `%`"
    )]
    NotAUrl,
    /// No server named.
    #[error("the SMTP address names no host: write `smtp://user:password@host:587`")]
    NoHost,
    /// A path or fragment, which is most often an unescaped password.
    #[error(
        "nothing may follow the host and port of the SMTP address but `?tls=…` and `ca=…`: write `/` and `#` in a password as `%2F` and `%23`"
    )]
    Trailing,
    /// One of user and password without the other.
    #[error("the SMTP address has a user or a password alone: write both, `smtp://user:password@host:587`, or neither")]
    HalfLogin,
    /// An option that does not exist.
    #[error("the SMTP address has an unknown option: write `tls=required`, `tls=opportunistic`, `tls=none` or `ca=FILE`")]
    UnknownOption,
    /// `tls=` with `smtps`.
    #[error("`smtps://` is always encrypted: leave `tls=` out, or write `smtp://` with it")]
    TlsOfSmtps,
    /// A password that a machine in between could make us send in clear.
    #[error("a password needs encryption: write `tls=required`, or `tls=none` where sending it in clear is safe")]
    OpportunisticLogin,
}

impl FromStr for Transport {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Transport, TransportError> {
        let text = text.trim();
        if text == "ses" {
            return Ok(Transport::Ses);
        }
        if let Some(directory) = text.strip_prefix("file:") {
            // `file:///var/mail` is how a URL writes `/var/mail`.
            let directory = directory.strip_prefix("//").unwrap_or(directory);
            return if directory.is_empty() { Err(TransportError::NoDirectory) } else { Ok(Transport::File(directory.into())) };
        }
        if text.starts_with("smtp://") || text.starts_with("smtps://") {
            return smtp_server(text).map(Transport::Smtp);
        }
        Err(TransportError::Unknown)
    }
}

fn smtp_server(text: &str) -> Result<SmtpServer, TransportError> {
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::EmptyHost => TransportError::NoHost,
        _ => TransportError::NotAUrl,
    })?;
    let host = match url.host().ok_or(TransportError::NoHost)? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return Err(TransportError::Trailing);
    }
    let login = match (url.username(), url.password().unwrap_or_default()) {
        ("", "") => None,
        (user, password) if !user.is_empty() && !password.is_empty() => {
            Some(Login { user: decoded(user)?, password: decoded(password)?.into() })
        }
        _ => return Err(TransportError::HalfLogin),
    };
    let wrapped = url.scheme() == "smtps";
    let mut tls = if wrapped { TlsMode::Wrapped } else { TlsMode::Required };
    let mut ca = None;
    for (name, value) in url.query_pairs() {
        match (&*name, &*value) {
            ("tls", _) if wrapped => return Err(TransportError::TlsOfSmtps),
            ("tls", "required") => tls = TlsMode::Required,
            ("tls", "opportunistic") => tls = TlsMode::Opportunistic,
            ("tls", "none") => tls = TlsMode::None,
            ("ca", file) if !file.is_empty() => ca = Some(PathBuf::from(file)),
            _ => return Err(TransportError::UnknownOption),
        }
    }
    if tls == TlsMode::Opportunistic && login.is_some() {
        return Err(TransportError::OpportunisticLogin);
    }
    let usual_port = match tls {
        TlsMode::Wrapped => 465,
        TlsMode::Required | TlsMode::Opportunistic => 587,
        TlsMode::None => 25,
    };
    Ok(SmtpServer { host, port: url.port().unwrap_or(usual_port), tls, ca, login })
}

fn decoded(text: &str) -> Result<String, TransportError> {
    let text = percent_encoding::percent_decode_str(text).decode_utf8().map_err(|_| TransportError::NotAUrl)?;
    // Neither can be part of a login, and both would end a protocol line or field.
    if text.chars().any(char::is_control) { Err(TransportError::NotAUrl) } else { Ok(text.into_owned()) }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transport::Ses => f.write_str("ses"),
            Transport::Smtp(server) => {
                let scheme = if server.tls == TlsMode::Wrapped { "smtps" } else { "smtp" };
                if server.host.contains(':') {
                    write!(f, "{scheme}://[{}]:{}", server.host, server.port)
                } else {
                    write!(f, "{scheme}://{}:{}", server.host, server.port)
                }
            }
            Transport::File(directory) => write!(f, "file:{}", directory.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smtp(text: &str) -> SmtpServer {
        match text.parse() {
            Ok(Transport::Smtp(server)) => server,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn server(host: &str, port: u16, tls: TlsMode) -> SmtpServer {
        SmtpServer { host: host.into(), port, tls, ca: None, login: None }
    }

    #[test]
    fn each_transport_is_written_as_documented() {
        assert_eq!("ses".parse(), Ok(Transport::Ses));
        assert_eq!("file:mails".parse(), Ok(Transport::File("mails".into())));
        assert_eq!("file:///var/mails".parse(), Ok(Transport::File("/var/mails".into())));
        assert_eq!(smtp("smtp://mail.example.com"), server("mail.example.com", 587, TlsMode::Required));
        assert_eq!(smtp("smtp://mail.example.com/?tls=opportunistic"), server("mail.example.com", 587, TlsMode::Opportunistic));
        assert_eq!(smtp("smtp://127.0.0.1?tls=none"), server("127.0.0.1", 25, TlsMode::None));
        assert_eq!(smtp("smtp://[::1]:1025?tls=none"), server("::1", 1025, TlsMode::None));
        assert_eq!(smtp("smtps://mail.example.com"), server("mail.example.com", 465, TlsMode::Wrapped));
        assert_eq!(smtp("smtps://mail.example.com?ca=/etc/ca.pem").ca, Some("/etc/ca.pem".into()));
        let login = Login { user: "ann@example.com".into(), password: "p:a/s#s% é".into() };
        assert_eq!(smtp("smtp://ann%40example.com:p%3Aa%2Fs%23s%25%20%C3%A9@mail.example.com:2525").login, Some(login));
    }

    #[test]
    fn a_wrong_transport_is_told_what_to_write() {
        for (text, error) in [
            ("", TransportError::Unknown),
            ("sendmail", TransportError::Unknown),
            ("SES", TransportError::Unknown),
            ("http://mail.example.com", TransportError::Unknown),
            ("file:", TransportError::NoDirectory),
            ("file://", TransportError::NoDirectory),
            ("smtp://", TransportError::NoHost),
            ("smtp://mail.example.com:notaport", TransportError::NotAUrl),
            ("smtp://ann:hunter2/x@mail.example.com", TransportError::NotAUrl),
            ("smtp://ann:hunter2@mail.example.com/mail", TransportError::Trailing),
            ("smtp://ann:hunter2@mail.example.com#x", TransportError::Trailing),
            ("smtp://ann@mail.example.com", TransportError::HalfLogin),
            ("smtp://:hunter2@mail.example.com", TransportError::HalfLogin),
            ("smtp://ann:hunter2%0d%0aQUIT@mail.example.com", TransportError::NotAUrl),
            ("smtp://mail.example.com?tls=yes", TransportError::UnknownOption),
            ("smtp://mail.example.com?verify=no", TransportError::UnknownOption),
            ("smtps://mail.example.com?tls=none", TransportError::TlsOfSmtps),
            ("smtp://ann:hunter2@mail.example.com?tls=opportunistic", TransportError::OpportunisticLogin),
        ] {
            let found = text.parse::<Transport>().expect_err(text);
            assert_eq!(found, error, "{text}");
            assert!(found.to_string().contains("write"), "{found}");
            assert!(!found.to_string().contains("hunter2"), "{found}");
        }
    }

    #[test]
    fn a_login_is_never_shown() {
        let transport: Transport = "smtp://annabel:hunter2@mail.example.com".parse().expect("a transport");
        assert_eq!(transport.to_string(), "smtp://mail.example.com:587");
        let shown = format!("{transport:?} {transport:#?} {transport}");
        assert!(!shown.contains("hunter2") && !shown.contains("annabel"), "{shown}");
    }
}
