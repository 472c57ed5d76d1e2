//! A place to connect to: libpq's URL with its TLS modes, keep-alives, and nothing printed that is secret.

use std::fmt;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{Trust, tls_config};

/// A connection that has to be polled for its client to work.
pub type DatabaseConnection = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// What is wrong with a database URL. Never holds the URL.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// Not a URL and not a libpq connection string.
    #[error("not a PostgreSQL URL ({0}); write postgres://user:password@host:5432/database")]
    Parse(String),
    /// An `sslmode` that libpq does not know either.
    #[error("sslmode \"{0}\" is unknown; use disable, prefer, require, verify-ca or verify-full")]
    SslMode(String),
    /// The file with the trusted certificates.
    #[error("sslrootcert: {0}")]
    RootCert(String),
    /// No certificate is trusted on this machine.
    #[error("no trusted certificates found on this machine; install ca-certificates or set sslrootcert in the URL")]
    NoRoots,
}

/// Where a database is and how to reach it. Cheap to clone; prints without its secrets.
#[derive(Clone)]
pub struct DatabaseUrl {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    is_pooled: bool,
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// `user@host/database`, never the password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        write!(f, "{}@{}/{}", self.config.get_user().unwrap_or(""), hosts.join(","), self.config.get_dbname().unwrap_or(""))
    }
}

impl DatabaseUrl {
    /// Read a URL or a `key=value` string as libpq does, including `sslmode` up to `verify-full` and `sslrootcert`.
    ///
    /// # Errors
    /// What to change, without the URL.
    pub fn parse(text: &str) -> Result<DatabaseUrl, UrlError> {
        let (rest, tls_params) = split_tls_params(text);
        let mode = tls_params.mode.as_deref().unwrap_or("prefer");
        let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            UrlError::Parse(std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(UrlError::Parse("it names no host".into()));
        }
        // The first @ ends the login. A second one means that the password holds an @, and its rest would be taken for a host name and printed.
        if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(name) if name.contains('@'))) {
            return Err(UrlError::Parse("write @ in a user or password as %40".into()));
        }
        config.ssl_mode(match mode {
            "disable" => SslMode::Disable,
            "allow" | "prefer" => SslMode::Prefer,
            "require" | "verify-ca" | "verify-full" => SslMode::Require,
            other => return Err(UrlError::SslMode(other.into())),
        });
        let trust = match (mode, &tls_params.root_cert) {
            ("verify-full", _) => Trust::Full,
            // As libpq: a root certificate turns require into verify-ca.
            ("verify-ca", _) | ("require", Some(_)) => Trust::Chain,
            _ => Trust::Anyone,
        };
        let tls = MakeRustlsConnect::new(tls_config(trust, tls_params.root_cert.as_deref())?);

        // A failover leaves connections that never answer: find out within seconds, not with the kernel's two hours.
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(30));
        }
        config.keepalives_idle(config.get_keepalives_idle().min(Duration::from_secs(15)));
        config.keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(3);
        Ok(DatabaseUrl { config, tls, is_pooled: false })
    }

    /// The same place under another `application_name`.
    #[must_use]
    pub fn named(&self, application_name: &str) -> DatabaseUrl {
        let mut named = self.clone();
        named.config.application_name(application_name);
        named
    }

    /// The same place behind a pooler in transaction mode, or not: each transaction may run on another server connection, so nothing may be
    /// kept in a session.
    #[must_use]
    pub fn behind_pooler(mut self, is_pooled: bool) -> DatabaseUrl {
        self.is_pooled = is_pooled;
        self
    }

    /// Whether a pooler in transaction mode stands in between.
    pub fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    /// The same place with settings for the session (`-c name=value`); what the URL itself sets wins.
    #[must_use]
    pub fn with_options(&self, options: &str) -> DatabaseUrl {
        let mut with = self.clone();
        with.config.options(self.config.get_options().map_or(options.to_string(), |own| format!("{options} {own}")));
        with
    }

    /// The same with a search path that holds only the system's schema, whatever the login, the database or the URL says. Otherwise, where anybody
    /// may create objects in a schema of the path, an operator of theirs could run with the rights of this login.
    #[must_use]
    pub fn pinned(&self) -> DatabaseUrl {
        let mut pinned = self.clone();
        let own = self.config.get_options().map(|own| format!("{own} ")).unwrap_or_default();
        pinned.config.options(format!("{own}-c search_path=pg_catalog,pg_temp"));
        pinned
    }

    /// Whether both log in to the same database of the same server as the same user, so that their connections count against the same limits.
    pub fn is_same_login(&self, other: &DatabaseUrl) -> bool {
        let login = |url: &DatabaseUrl| {
            let config = &url.config;
            let ports = config.get_ports().to_vec();
            (
                config.get_hosts().to_vec(),
                config.get_hostaddrs().to_vec(),
                ports,
                config.get_user().map(ToString::to_string),
                config.get_dbname().map(ToString::to_string),
            )
        };
        login(self) == login(other)
    }

    /// The configuration and the connector, for a pool.
    pub fn parts(&self) -> (Config, MakeRustlsConnect) {
        (self.config.clone(), self.tls.clone())
    }

    /// Open one connection.
    ///
    /// # Errors
    /// The database's or the network's.
    pub async fn connect(&self) -> Result<(Client, DatabaseConnection), tokio_postgres::Error> {
        self.config.connect(self.tls.clone()).await
    }

    /// The user that logs in.
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or("")
    }
}

#[derive(Default)]
struct TlsParams {
    mode: Option<String>,
    root_cert: Option<String>,
}

/// Take `sslmode` and `sslrootcert` out: tokio-postgres knows the first three modes and no certificate file.
fn split_tls_params(text: &str) -> (String, TlsParams) {
    let mut params = TlsParams::default();
    let mut take = |key: &str, value: &str| {
        let value = percent_encoding::percent_decode_str(value.trim_matches('\'')).decode_utf8_lossy().into_owned();
        match key {
            "sslmode" => params.mode = Some(value),
            "sslrootcert" => params.root_cert = Some(value),
            _ => return false,
        }
        true
    };
    let is_ours = |pair: &str, take: &mut dyn FnMut(&str, &str) -> bool| pair.split_once('=').is_some_and(|(k, v)| take(k.trim(), v));
    let rest = if text.contains("://") {
        match text.split_once('?') {
            Some((base, query)) => {
                let kept: Vec<&str> = query.split('&').filter(|pair| !is_ours(pair, &mut take)).collect();
                if kept.is_empty() { base.to_string() } else { format!("{base}?{}", kept.join("&")) }
            }
            None => text.to_string(),
        }
    } else {
        text.split_whitespace().filter(|pair| !is_ours(pair, &mut take)).collect::<Vec<_>>().join(" ")
    };
    (rest, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_where_but_not_the_password() {
        let url = DatabaseUrl::parse("postgres://ann:secret@db1,db2:5433/shop?sslmode=require&target_session_attrs=read-write").unwrap();
        assert_eq!(url.to_string(), "ann@db1,db2/shop");
        assert!(!format!("{url:?}").contains("secret"));
        assert_eq!(url.config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn takes_a_connection_string_and_a_socket() {
        let url = DatabaseUrl::parse("host=/var/run/postgresql user=ann dbname=shop sslmode=disable").unwrap();
        assert_eq!(url.to_string(), "ann@/var/run/postgresql/shop");
        assert_eq!(url.config.get_ssl_mode(), SslMode::Disable);
    }

    #[test]
    fn says_what_is_wrong_without_repeating_the_url() {
        let error = DatabaseUrl::parse("postgres://ann:secret@db/shop?sslmode=perhaps").unwrap_err().to_string();
        assert!(error.contains("verify-full") && !error.contains("secret"), "{error}");
        let error = DatabaseUrl::parse("postgres://ann:secret@db/shop?colour=red").unwrap_err().to_string();
        assert!(error.contains("colour") && !error.contains("secret"), "{error}");
        let error = DatabaseUrl::parse("postgres://u@h/d?sslmode=verify-full&sslrootcert=/no/such/file").unwrap_err().to_string();
        assert!(error.starts_with("sslrootcert"), "{error}");
        assert!(DatabaseUrl::parse("dbname=shop").unwrap_err().to_string().contains("no host"));
    }
}
