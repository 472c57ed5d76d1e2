//! The real program as a process of its own.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use uuid::Uuid;

use super::{ACCESS_KEY, GATED, SECRET_KEY, World};

/// Where cargo put the program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_exportbox");

impl World {
    /// The program with this world's environment, and nothing of the machine's.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// What a daemon of this world needs.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("EXPORTBOX_DATABASE_URL", self.daemon_url()),
            ("EXPORTBOX_BUCKET", "exports".into()),
            ("EXPORTBOX_MAIL", "ses".into()),
            ("EXPORTBOX_MAIL_FROM", "Exports <exports@example.com>".into()),
            ("AWS_REGION", "eu-west-1".into()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.into()),
            ("AWS_ENDPOINT_URL_S3", self.s3.endpoint()),
            ("AWS_ENDPOINT_URL_SESV2", self.ses.endpoint()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("HOME", self.dir().display().to_string()),
        ]
    }

    /// Run it to its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        self.program(arguments).output().await.unwrap()
    }

    /// Run it to its end with other settings; an empty value takes one away.
    pub async fn run_with(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        let mut program = self.program(arguments);
        for (name, value) in settings {
            if value.is_empty() {
                program.env_remove(name)
            } else {
                program.env(name, value)
            };
        }
        program.output().await.unwrap()
    }

    /// The same, with this on its standard input.
    pub async fn run_fed(&self, arguments: &[&str], settings: &[(&str, &str)], input: &str) -> Output {
        let mut program = self.program(arguments);
        program.envs(settings.iter().copied()).stdin(Stdio::piped());
        let mut child = program.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        child.wait_with_output().await.unwrap()
    }

    /// Drain with the program; its summary, whose exit code is the process's.
    pub async fn drained(&self, arguments: &[&str], settings: &[(&str, &str)]) -> serde_json::Value {
        let output = self.run_with(&[&["drain", "--json"], arguments].concat(), settings).await;
        let summary = json(&output);
        assert_eq!(summary["exit_code"], code(&output), "{}", stderr(&output));
        summary
    }

    /// A process that hangs while its query runs: stopped, before the gate. Requested with `more` arguments.
    pub async fn hanging(&self, more: &str) -> (Child, Uuid) {
        let id = self.request_with(GATED, &[], more).await;
        let process = self.spawn(&["run", "--slots", "1"]);
        self.until_at_gate(id).await;
        signal(&process, "STOP").await;
        (process, id)
    }

    /// Start it.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.program(arguments).spawn().unwrap()
    }
}

/// What the program says of itself, which needs no world.
pub fn help(arguments: &[&str]) -> String {
    let output = std::process::Command::new(PROGRAM).args(arguments).arg("--help").env_clear().output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it printed, for assertions.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it complained about.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Its exit code.
pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// What it printed for programs.
pub fn json(output: &Output) -> serde_json::Value {
    let text = stdout(output);
    assert_eq!(text.lines().count(), 1, "not one line: {text}\n{}", stderr(output));
    serde_json::from_str(&text).unwrap()
}

/// It gave up with this code and said these words; no word of it is the password.
pub fn assert_gave_up(output: &Output, expected: i32, words: &[&str], password: &str) {
    let said = format!("{}{}", stdout(output), stderr(output));
    assert_eq!(code(output), expected, "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing: {said}");
    }
    assert!(!said.contains(password), "the password is printed: {said}");
}

/// Wait until it has ended by itself.
pub async fn ended(child: Child) -> Output {
    tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await.expect("it does not stop").unwrap()
}

/// Send a signal, by its name.
pub async fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id().unwrap());
    assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
}
