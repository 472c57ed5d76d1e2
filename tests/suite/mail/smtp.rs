//! SMTP: against an independent server, and against one that follows a script.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender as Post, channel};
use std::time::Duration;

use exportbox::job::{FailureClass, Verdict};
use exportbox::mail::{Mailer, SmtpSetupError, Transport};
use mailin_embedded::response::{AUTH_OK, INVALID_CREDENTIALS, OK};
use mailin_embedded::{AuthMechanism, Handler, Response, Server, SslConfig};

use super::smtp_server::{SmtpServer, Step, Turn};
use super::{DELIVERY, RECIPIENT, assert_failure, assert_unharmed, awkward_message, sender};

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/mail/tls/ca.pem");

fn mailer(url: &str) -> Mailer {
    let Ok(Transport::Smtp(server)) = url.parse() else { panic!("{url}") };
    Mailer::smtp(server, sender()).expect("a mailer").with_timeout(Duration::from_secs(5))
}

/// What the independent server got: who from, to whom, content.
type Got = (String, Vec<String>, Vec<u8>);

#[derive(Clone)]
struct Mailbox {
    post: Post<Got>,
    from: String,
    to: Vec<String>,
    content: Vec<u8>,
}

impl Handler for Mailbox {
    fn auth_plain(&mut self, _: &str, user: &str, password: &str) -> Response {
        if (user, password) == ("ann@sender.example", "hunter2: ü") { AUTH_OK } else { INVALID_CREDENTIALS }
    }

    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        from.clone_into(&mut self.from);
        OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        self.to.push(to.to_owned());
        OK
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        self.content.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let mail = (self.from.clone(), std::mem::take(&mut self.to), std::mem::take(&mut self.content));
        self.post.send(mail).map_or(mailin_embedded::response::INTERNAL_ERROR, |()| OK)
    }
}

/// An independent mail server with STARTTLS. With `login` it takes mails only after one, and a login only once the connection is encrypted.
fn independent_server(login: bool) -> (u16, Receiver<Got>) {
    // Whether another test was first does not matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (post, mails) = channel();
    let mut server = Server::new(Mailbox { post, from: String::new(), to: Vec::new(), content: Vec::new() });
    let tls = SslConfig::SelfSigned { cert_path: CA.replace("ca.pem", "server.pem"), key_path: CA.replace("ca.pem", "server.key.pem") };
    server.with_name("mail.test").with_tcp_listener(listener).with_ssl(tls).expect("a certificate");
    if login {
        server.with_auth(AuthMechanism::Plain);
    }
    // It has no way to stop; it ends with the process.
    std::thread::spawn(move || server.serve().is_ok());
    (port, mails)
}

#[tokio::test]
async fn a_mail_over_smtp_is_unharmed() {
    let message = awkward_message();
    for (login, url, case) in [
        (false, "smtp://127.0.0.1:PORT?tls=none", "in clear"),
        (false, "smtp://localhost:PORT?tls=opportunistic&ca=FILE", "STARTTLS where offered"),
        (true, "smtp://ann%40sender.example:hunter2%3A%20%C3%BC@localhost:PORT?ca=FILE", "STARTTLS and login"),
    ] {
        let (port, mails) = independent_server(login);
        let mailer = mailer(&url.replace("PORT", &port.to_string()).replace("FILE", CA));
        let id = mailer.send(&message).await.expect(case);
        assert_eq!((mailer.provider(), id), ("smtp", format!("{DELIVERY}@sender.example")), "{case}");
        let (from, to, content) = mails.recv().expect("a mail");
        assert_eq!((from.as_str(), to), ("exports@sender.example", vec![RECIPIENT.to_owned()]), "{case}");
        assert_unharmed(&content, &message);
    }
}

#[tokio::test]
async fn a_server_that_does_not_prove_its_name_gets_no_mail_and_no_password() {
    let (port, mails) = independent_server(true);
    for (url, words) in [
        ("smtp://ann:hunter2@localhost:PORT", "certificate is not trusted"),
        ("smtp://ann:hunter2@127.0.0.1:PORT?ca=FILE", "certificate is not trusted"),
        // The password is wrong, and was asked for: the certificate is fine.
        ("smtp://ann:hunter2@localhost:PORT?ca=FILE", "check the user and the password"),
        ("smtp://localhost:PORT?ca=FILE", "check the login"),
    ] {
        let failure = mailer(&url.replace("PORT", &port.to_string()).replace("FILE", CA)).send(&awkward_message()).await.expect_err(words);
        assert_failure(&failure, FailureClass::MailConfig, Verdict::Hold, words, url);
    }
    assert!(mails.try_recv().is_err(), "no mail came");
}

#[tokio::test]
async fn both_ways_to_log_in_work() {
    for (extensions, login) in [(&["AUTH PLAIN LOGIN"], "PLAIN ann hunter2"), (&["AUTH LOGIN"], "LOGIN ann hunter2")] {
        let server = SmtpServer::start(extensions, None).await;
        let message = awkward_message();
        mailer(&format!("smtp://ann:hunter2@127.0.0.1:{}?tls=none", server.port)).send(&message).await.expect("sent");
        assert!(server.commands().contains(&login.to_owned()), "{:?}", server.commands());
        assert_unharmed(&server.mails()[0], &message);
    }
}

#[tokio::test]
async fn each_way_to_fail_is_classified_by_the_step_at_which_it_happens() {
    use FailureClass::{MailConfig, MailRejected, MailThrottled, MailUnavailable, MailUnknown};
    use Step::{Content, Data, End, Greeting, Hello, Login, Recipient, Sender};
    use Turn::{Cut, Say, Silence};
    use Verdict::{Bury, Hold, Retry, Unknown};
    let rows = [
        (Greeting, Say("421 4.3.2 gibberish"), MailThrottled, Retry, "later"),
        (Greeting, Say("554 5.7.1 gibberish"), MailConfig, Hold, "refuses this client"),
        (Greeting, Say("gibberish"), MailUnavailable, Retry, "cannot be reached"),
        (Greeting, Cut, MailUnavailable, Retry, "cannot be reached"),
        (Greeting, Silence, MailUnavailable, Retry, "in time"),
        (Hello, Say("550 5.7.1 gibberish"), MailConfig, Hold, "refuses this client"),
        (Hello, Cut, MailUnavailable, Retry, "cannot be reached"),
        (Login, Say("535 5.7.8 gibberish"), MailConfig, Hold, "user and the password"),
        (Login, Say("534 5.7.9 gibberish"), MailConfig, Hold, "login"),
        (Login, Say("538 5.7.11 gibberish"), MailConfig, Hold, "encryption"),
        (Login, Say("504 5.5.4 gibberish"), MailConfig, Hold, "user and the password"),
        (Login, Say("454 4.7.0 gibberish"), MailThrottled, Retry, "later"),
        (Login, Cut, MailUnavailable, Retry, "before it had the mail"),
        (Login, Silence, MailUnavailable, Retry, "before it had the mail"),
        (Sender, Say("530 5.7.0 gibberish"), MailConfig, Hold, "login"),
        (Sender, Say("550 5.7.1 gibberish"), MailConfig, Hold, "refuses the sender"),
        (Sender, Say("451 4.3.0 gibberish"), MailThrottled, Retry, "later"),
        (Sender, Cut, MailUnavailable, Retry, "before it had the mail"),
        (Sender, Silence, MailUnavailable, Retry, "before it had the mail"),
        (Recipient, Say("550 5.1.1 gibberish"), MailRejected, Bury, "refuses this recipient"),
        (Recipient, Say("553 5.1.3 gibberish"), MailRejected, Bury, "refuses this recipient"),
        (Recipient, Say("530 5.7.0 gibberish"), MailConfig, Hold, "login"),
        (Recipient, Say("450 4.2.0 gibberish"), MailThrottled, Retry, "later"),
        (Recipient, Say("452 4.5.3 gibberish"), MailThrottled, Retry, "later"),
        (Recipient, Cut, MailUnavailable, Retry, "before it had the mail"),
        (Data, Say("554 5.5.1 gibberish"), MailRejected, Bury, "refuses this mail"),
        (Data, Say("421 4.3.0 gibberish"), MailThrottled, Retry, "later"),
        (Data, Cut, MailUnavailable, Retry, "before it had the mail"),
        (Data, Silence, MailUnavailable, Retry, "before it had the mail"),
        (Content, Cut, MailUnknown, Unknown, "may have been sent"),
        (End, Say("554 5.7.1 gibberish"), MailRejected, Bury, "refuses this mail"),
        (End, Say("552 5.3.4 gibberish"), MailRejected, Bury, "refuses this mail"),
        (End, Say("451 4.7.1 gibberish"), MailThrottled, Retry, "later"),
        (End, Say("421 4.3.0 gibberish"), MailThrottled, Retry, "later"),
        (End, Say("gibberish"), MailUnknown, Unknown, "may have been sent"),
        (End, Cut, MailUnknown, Unknown, "may have been sent"),
        (End, Silence, MailUnknown, Unknown, "may have been sent"),
    ];
    for (step, turn, class, verdict, words) in rows {
        let case = format!("{step:?} {turn:?}");
        let server = SmtpServer::start(&["AUTH PLAIN"], Some((step, turn))).await;
        let limit = Duration::from_millis(if turn == Silence { 200 } else { 5000 });
        let mailer = mailer(&format!("smtp://ann:hunter2@127.0.0.1:{}?tls=none", server.port)).with_timeout(limit);
        let failure = mailer.send(&awkward_message()).await.expect_err(&case);
        assert_failure(&failure, class, verdict, words, &case);
        if !server.mails().is_empty() {
            assert_eq!(step, End, "{case}: a mail that the server has is refused or unknown");
        }
    }
}

#[tokio::test]
async fn a_server_that_cannot_do_what_is_asked_holds_the_mails() {
    use FailureClass::{MailConfig, MailThrottled, MailUnavailable};
    use Verdict::{Hold, Retry};
    let plain: &[&str] = &[];
    let starttls: &[&str] = &["STARTTLS"];
    let refused = Some((Step::StartTls, Turn::Say("502 5.5.1 gibberish")));
    for (url, extensions, script, class, verdict, words) in [
        ("smtp://127.0.0.1:PORT", plain, None, MailConfig, Hold, "offers no STARTTLS"),
        ("smtp://127.0.0.1:PORT", starttls, refused, MailConfig, Hold, "refuses STARTTLS"),
        ("smtp://127.0.0.1:PORT", starttls, None, MailThrottled, Retry, "later"),
        ("smtp://127.0.0.1:PORT?tls=opportunistic", starttls, refused, MailConfig, Hold, "refuses STARTTLS"),
        ("smtp://ann:hunter2@127.0.0.1:PORT?tls=none", plain, None, MailConfig, Hold, "offers no login"),
        ("smtps://127.0.0.1:PORT", plain, None, MailUnavailable, Retry, "does not speak TLS"),
    ] {
        let server = SmtpServer::start(extensions, script).await;
        let failure = mailer(&url.replace("PORT", &server.port.to_string())).send(&awkward_message()).await.expect_err(words);
        assert_failure(&failure, class, verdict, words, url);
        let commands = server.commands();
        assert!(!commands.iter().any(|command| command.contains("MAIL") || command.contains("AUTH")), "{commands:?}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_tried_again() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    for url in
        [format!("smtp://127.0.0.1:{closed}?tls=none"), "smtp://nowhere.invalid?tls=none".into(), format!("smtps://127.0.0.1:{closed}")]
    {
        let failure = mailer(&url).send(&awkward_message()).await.expect_err(&url);
        assert_failure(&failure, FailureClass::MailUnavailable, Verdict::Retry, "cannot be reached", &url);
    }
}

#[tokio::test]
async fn an_accepted_mail_is_accepted_whatever_happens_at_the_farewell() {
    for turn in [Turn::Cut, Turn::Silence, Turn::Say("500 gibberish")] {
        let server = SmtpServer::start(&[], Some((Step::Quit, turn))).await;
        let mailer = mailer(&format!("smtp://127.0.0.1:{}?tls=none", server.port)).with_timeout(Duration::from_secs(2));
        mailer.send(&awkward_message()).await.expect("sent");
        assert_eq!(server.mails().len(), 1);
    }
}

#[test]
fn an_authority_that_cannot_be_read_is_a_clear_error() {
    for (file, words) in
        [("/nonexistent/ca.pem".to_owned(), "read the certificate authority"), (CA.replace("tls/ca.pem", "smtp.rs"), "no certificate")]
    {
        let Ok(Transport::Smtp(server)) = format!("smtps://mail.test?ca={file}").parse() else { panic!("{file}") };
        let error: SmtpSetupError = Mailer::smtp(server, sender()).expect_err("no authority");
        assert!(error.to_string().contains(words) && error.to_string().contains("write `ca=`"), "{error}");
    }
}
