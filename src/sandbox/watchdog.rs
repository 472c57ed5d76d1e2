//! A shell that outlives us for a moment: when our end of its pipe closes, however we died, it ends the database and removes the directory.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::Context;

/// Reads the server's process id from the pipe, the latest wins, 0 for none. At the pipe's end: immediate shutdown, a wait of at most ten
/// seconds, and the directory goes, unless `$2` says to keep it. A shell's `kill` is built in, so no other program is needed but `sleep`.
const SCRIPT: &str = r#"
pid=0
while read -r line; do pid=$line; done
if [ "$pid" -gt 1 ] 2>/dev/null; then
    kill -QUIT "$pid" 2>/dev/null
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 200 ]; do sleep 0.05; tries=$((tries + 1)); done
    kill -KILL "$pid" 2>/dev/null
fi
[ "$2" = keep ] || rm -rf -- "$1"
"#;

/// The watchdog of one directory. Dropping it without [`Watchdog::finish`] lets it do its work unattended.
#[derive(Debug)]
pub(super) struct Watchdog {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Starts it in its own process group: Ctrl-C in a terminal reaches us and not it.
    pub(super) fn start(dir: &Path, keep: bool) -> anyhow::Result<Watchdog> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "exportbox-sandbox-watchdog"])
            .arg(dir)
            .arg(if keep { "keep" } else { "remove" })
            .current_dir("/")
            .stdin(Stdio::piped())
            // Not ours: whoever reads our output to its end must not have to wait for the watchdog.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start the watchdog")?;
        let pipe = child.stdin.take();
        Ok(Watchdog { child, pipe })
    }

    /// Tells it which process to end; none: the server is down.
    pub(super) fn watch(&mut self, pid: Option<u32>) -> anyhow::Result<()> {
        let pipe = self.pipe.as_mut().context("the watchdog was finished")?;
        writeln!(pipe, "{}", pid.unwrap_or(0)).context("tell the watchdog")
    }

    /// Closes the pipe: the watchdog begins its work.
    pub(super) fn release(&mut self) {
        self.pipe = None;
    }

    /// Waits until the watchdog is done. It waits for the server, so the server's own parent must have reaped it.
    pub(super) fn finish(&mut self) {
        self.release();
        // It bounds its own waiting; a status of a finished child cannot fail in a way that matters here.
        drop(self.child.wait());
    }
}

/// Sends a signal to a process that we started, for example `QUIT`.
pub(super) fn signal(pid: u32, name: &str) {
    let kill = Command::new("/bin/sh").args(["-c", r#"kill -s "$1" "$2" 2>/dev/null"#, "kill", name, &pid.to_string()]).status();
    // A process that is already gone is what the caller wants.
    drop(kill);
}
