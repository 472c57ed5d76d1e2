//! SMTP replies (RFC 5321, enhanced by RFC 4954 for logins) and broken conversations.

use lettre::transport::smtp::Error;

use super::{bury, find, hold, throttled, unavailable, unknown};
use crate::job::Failure;

/// Where the conversation stood. Before `Handed` the server cannot have taken the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mail) enum Phase {
    /// Name lookup, TCP, TLS from the first byte, greeting, EHLO.
    Connect,
    /// STARTTLS and the handshake.
    StartTls,
    /// AUTH.
    Login,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA, and the content without the line that ends it.
    Content,
    /// The end of the content may have reached the server.
    Handed,
}

/// A conversation that ended in an error.
pub(in crate::mail) fn smtp(error: &Error, phase: Phase) -> Failure {
    let failure = match error.status().map(u16::from) {
        Some(code @ (530 | 534 | 535 | 538)) => login_refused(code),
        Some(400..=499) => throttled("The mail server asks to try again later."),
        Some(500..) => refused(phase),
        _ => broken(error, phase),
    };
    let code = error.status().map(|status| format!("SMTP {}", u16::from(status)));
    failure.with_detail(error).with_code(code.as_deref())
}

/// The server did not answer in time.
pub(in crate::mail) fn smtp_silence(phase: Phase) -> Failure {
    match phase {
        Phase::Handed => unknown("The mail server did not answer in time after it got the mail: it may have been sent."),
        Phase::Connect => unavailable("The mail server did not answer in time: check the host, the port and the firewall in between."),
        _ => unavailable("The mail server fell silent before it had the mail."),
    }
}

fn login_refused(code: u16) -> Failure {
    match code {
        535 => hold("The mail server refuses the login: check the user and the password in EXPORTBOX_MAIL."),
        538 => hold("The mail server wants encryption before a login: write smtps:// or tls=required in EXPORTBOX_MAIL."),
        _ => hold("The mail server wants a login or encryption: write smtp://user:password@… with tls=required in EXPORTBOX_MAIL."),
    }
}

fn refused(phase: Phase) -> Failure {
    match phase {
        Phase::Connect => hold("The mail server refuses this client: allow this machine's address there, or name another server."),
        Phase::StartTls => hold("The mail server refuses STARTTLS: write smtps:// or tls=none in EXPORTBOX_MAIL, as the server wants it."),
        Phase::Login => hold("The mail server refuses the login: check the user and the password in EXPORTBOX_MAIL."),
        Phase::Sender => {
            hold("The mail server refuses the sender: check the login in EXPORTBOX_MAIL, and that it may send as EXPORTBOX_MAIL_FROM.")
        }
        Phase::Recipient => bury("The mail server refuses this recipient."),
        Phase::Content | Phase::Handed => bury("The mail server refuses this mail."),
    }
}

fn broken(error: &Error, phase: Phase) -> Failure {
    if phase == Phase::Handed {
        return unknown("The connection to the mail server broke after it got the mail: it may have been sent.");
    }
    if let Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) = find::<rustls::Error>(error) {
        return hold("The mail server's certificate is not trusted: name the server as its certificate does, or its authority in ca=FILE.");
    }
    match phase {
        // lettre calls it a client error when the server does not offer what is asked for.
        Phase::StartTls if error.is_client() => {
            hold("The mail server offers no STARTTLS: write smtps://, or tls=none where mails may travel in clear.")
        }
        Phase::Login if error.is_client() => {
            hold("The mail server offers no login with a password: encrypt the connection, or leave the user and password out.")
        }
        Phase::Connect if find::<rustls::Error>(error).is_some() => {
            unavailable("The mail server does not speak TLS here: check the port, or write smtp:// for STARTTLS.")
        }
        Phase::Connect => unavailable("The mail server cannot be reached: check the host, the port and the firewall in between."),
        _ => unavailable("The connection to the mail server broke before it had the mail."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Verdict;

    #[test]
    fn only_a_silence_after_the_end_of_the_content_is_unknown() {
        for phase in [Phase::Connect, Phase::StartTls, Phase::Login, Phase::Sender, Phase::Recipient, Phase::Content] {
            assert_eq!(smtp_silence(phase).verdict, Verdict::Retry, "{phase:?}");
        }
        assert_eq!(smtp_silence(Phase::Handed).verdict, Verdict::Unknown);
    }
}
