//! A mail server after RFC 5321 that follows a script: what it says at each step, and where it goes away.

use std::sync::{Arc, Mutex};

use base64::Engine;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};

/// Where in the conversation something else than usual happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Greeting,
    Hello,
    StartTls,
    Login,
    Sender,
    Recipient,
    Data,
    /// In the midst of the content.
    Content,
    /// After the line that ends the content.
    End,
    Quit,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// This reply instead of the usual one.
    Say(&'static str),
    /// The connection closes.
    Cut,
    /// Nothing more comes.
    Silence,
}

#[derive(Default)]
struct Kept {
    mails: Vec<Vec<u8>>,
    commands: Vec<String>,
}

pub struct SmtpServer {
    pub port: u16,
    kept: Arc<Mutex<Kept>>,
}

impl SmtpServer {
    /// `extensions`: the lines that EHLO offers, such as `STARTTLS` or `AUTH PLAIN`.
    pub async fn start(extensions: &'static [&'static str], script: Option<(Step, Turn)>) -> SmtpServer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let keep = Arc::clone(&kept);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let session = Session { stream: BufStream::new(stream), extensions, script, kept: Arc::clone(&keep) };
                // A client that goes away ends its session; the tests look at what was kept.
                tokio::spawn(session.run());
            }
        });
        SmtpServer { port, kept }
    }

    /// The contents of all accepted mails.
    pub fn mails(&self) -> Vec<Vec<u8>> {
        self.kept.lock().expect("no test panics with it").mails.clone()
    }

    /// All lines that are not content; logins decoded.
    pub fn commands(&self) -> Vec<String> {
        self.kept.lock().expect("no test panics with it").commands.clone()
    }
}

struct Session {
    stream: BufStream<TcpStream>,
    extensions: &'static [&'static str],
    script: Option<(Step, Turn)>,
    kept: Arc<Mutex<Kept>>,
}

impl Session {
    async fn run(mut self) -> Option<()> {
        self.reply(Step::Greeting, "220 mail.test ESMTP").await?;
        loop {
            let line = self.line().await?;
            self.keep(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let mut lines = vec!["mail.test"];
                    lines.extend(self.extensions);
                    let last = lines.len() - 1;
                    let lines = lines.iter().enumerate().map(|(index, line)| format!("250{}{line}", if index == last { " " } else { "-" }));
                    let answer = lines.collect::<Vec<_>>().join("\r\n");
                    self.reply(Step::Hello, &answer).await?
                }
                "STARTTLS" => self.reply(Step::StartTls, "454 4.7.0 TLS not available").await?,
                "AUTH" => self.login(&line).await?,
                "MAIL" => self.reply(Step::Sender, "250 2.1.0 Ok").await?,
                "RCPT" => self.reply(Step::Recipient, "250 2.1.5 Ok").await?,
                "DATA" => self.reply(Step::Data, "354 End data with <CR><LF>.<CR><LF>").await? && self.content().await?,
                "NOOP" => self.say("250 2.0.0 Ok").await?,
                "QUIT" => return self.reply(Step::Quit, "221 2.0.0 Bye").await.map(|_| ()),
                _ => self.say("502 5.5.2 Command not recognized").await?,
            };
        }
    }

    async fn login(&mut self, line: &str) -> Option<bool> {
        let mut words = line.split(' ').skip(1);
        let mechanism = words.next().unwrap_or_default().to_owned();
        let mut answers: Vec<String> = words.map(decoded).collect();
        if mechanism == "LOGIN" {
            for prompt in ["Username:", "Password:"].iter().skip(answers.len()) {
                self.say(&format!("334 {}", base64::engine::general_purpose::STANDARD.encode(prompt))).await?;
                answers.push(decoded(&self.line().await?));
            }
        }
        self.keep(format!("{mechanism} {}", answers.join(" ").replace('\0', " ").trim()));
        self.reply(Step::Login, "235 2.7.0 Authentication successful").await
    }

    async fn content(&mut self) -> Option<bool> {
        let mut mail = Vec::new();
        loop {
            let mut line = Vec::new();
            if self.stream.read_until(b'\n', &mut line).await.ok()? == 0 {
                return None;
            }
            assert!(line.ends_with(b"\r\n") && line.len() <= 1000, "a line that servers may break");
            if let Some((Step::Content, turn)) = self.script {
                self.take(turn).await?;
            }
            if line == b".\r\n" {
                break;
            }
            mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        self.kept.lock().expect("no test panics with it").mails.push(mail);
        self.reply(Step::End, "250 2.0.0 Ok: queued as 4XyZ").await
    }

    /// True when the usual reply was given.
    async fn reply(&mut self, step: Step, usual: &str) -> Option<bool> {
        match self.script {
            Some((at, turn)) if at == step => self.take(turn).await.map(|()| false),
            _ => self.say(usual).await,
        }
    }

    async fn take(&mut self, turn: Turn) -> Option<()> {
        match turn {
            Turn::Say(reply) => self.say(reply).await.map(|_| ()),
            Turn::Cut => None,
            Turn::Silence => std::future::pending().await,
        }
    }

    async fn say(&mut self, reply: &str) -> Option<bool> {
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
        self.stream.flush().await.ok()?;
        Some(true)
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        Some(line.trim_end().to_owned())
    }

    fn keep(&self, command: String) {
        self.kept.lock().expect("no test panics with it").commands.push(command);
    }
}

fn decoded(word: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(word).expect("base64");
    String::from_utf8(bytes).expect("UTF-8")
}
