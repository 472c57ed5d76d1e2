//! The daemon as a process of its own, as in production: started with an environment, stopped with SIGTERM.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};

use crate::sandbox::Sandbox;

/// `exportbox run`, killed when dropped.
pub(super) struct Process {
    child: Mutex<Child>,
    pid: u32,
    log: PathBuf,
    /// Ends the daemon when the pipe to it closes, which also happens when this process is killed.
    watchdog: Child,
}

impl Process {
    pub(super) fn start(sandbox: &Sandbox, database: &str) -> anyhow::Result<Process> {
        let log = sandbox.dir().join("daemon.log");
        let file = std::fs::File::options().create(true).append(true).open(&log).context("open the daemon's log")?;
        let child = Command::new(std::env::current_exe().context("find this program")?)
            .arg("run")
            .envs(sandbox.environment(database))
            // A demo shows things as they happen.
            .env("EXPORTBOX_HEARTBEAT", "500ms")
            .env("EXPORTBOX_LEASE", "15s")
            .env("EXPORTBOX_SLOTS", "4")
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("share the daemon's log")?)
            .stderr(file)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("start the daemon")?;
        let pid = child.id().context("the daemon ended at once")?;
        let watchdog = Command::new("/bin/sh")
            .args(["-c", r#"cat >/dev/null; kill -s KILL "$1" 2>/dev/null"#, "watchdog", &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start the daemon's watchdog")?;
        Ok(Process { child: Mutex::new(child), pid, log, watchdog })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    pub(super) fn is_alive(&self) -> bool {
        self.child.lock().is_ok_and(|mut child| matches!(child.try_wait(), Ok(None)))
    }

    pub(super) fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// SIGTERM; true when it ended with exit code 0 within its grace.
    pub(super) async fn stop(mut self) -> anyhow::Result<bool> {
        let asked = Command::new("/bin/sh")
            .args(["-c", r#"kill -s TERM "$1""#, "kill", &self.pid.to_string()])
            .status()
            .await
            .context("send SIGTERM")?;
        let Ok(mut child) = self.child.into_inner() else { return Ok(false) };
        let ended = tokio::time::timeout(Duration::from_secs(40), child.wait()).await;
        // The daemon has ended, and the kernel may give its process id to another process.
        let _ = self.watchdog.start_kill();
        Ok(asked.success() && ended.is_ok_and(|status| status.is_ok_and(|status| status.success())))
    }
}
