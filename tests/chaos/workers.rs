//! The daemons and drains: real processes, each behind a proxy of its own, started anew whenever they end.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::network::Proxy;
use crate::world::{PROGRAM, World};

/// Three daemons and two drains that somebody's cron keeps starting.
const COMMANDS: [&str; 5] = ["run", "run", "run", "drain", "drain"];
/// The fake clock, as Debian installs it.
const FAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

/// Times are short, so that many things happen in a round; the rules are the same.
const SETTINGS: [(&str, &str); 14] = [
    ("EXPORTBOX_LEASE", "6s"),
    ("EXPORTBOX_HEARTBEAT", "1s"),
    ("EXPORTBOX_POLL", "1s"),
    ("EXPORTBOX_TIMEOUT", "25s"),
    ("EXPORTBOX_GRACE", "3s"),
    ("EXPORTBOX_SLOTS", "3"),
    ("EXPORTBOX_MAIL_SLOTS", "3"),
    ("EXPORTBOX_EXPORT_ATTEMPTS", "100"),
    ("EXPORTBOX_MAIL_ATTEMPTS", "100"),
    ("EXPORTBOX_FAILURE_NOTICE", "recipients"),
    ("EXPORTBOX_FAILURE_WINDOW", "1m"),
    ("EXPORTBOX_LOG", "info"),
    ("EXPORTBOX_LOG_FORMAT", "human"),
    ("NO_COLOR", "1"),
];

/// All of them.
pub struct Workers {
    slots: Vec<Slot>,
    stop: watch::Sender<bool>,
}

struct Slot {
    proxy: Proxy,
    shared: Arc<Mutex<Shared>>,
    supervisor: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    pid: Option<u32>,
    /// What its clock is off by when it starts next, as libfaketime reads it.
    clock: Option<String>,
    /// Pids of processes whose clock was off.
    off: Vec<u32>,
    /// Ends that nobody has asked for: the exit codes.
    odd: Vec<String>,
}

impl Workers {
    /// Start them.
    pub async fn start(world: &Arc<World>) -> Workers {
        let (stop, stopped) = watch::channel(false);
        let mut slots = Vec::new();
        for (index, command) in COMMANDS.into_iter().enumerate() {
            let proxy = Proxy::start(world.port).await;
            let shared = Arc::new(Mutex::new(Shared::default()));
            let supervisor = tokio::spawn(supervise(world.clone(), index, command, proxy.port, shared.clone(), stopped.clone()));
            slots.push(Slot { proxy, shared, supervisor });
        }
        Workers { slots, stop }
    }

    /// The proxy of a worker that is connected; none is while the database is down.
    pub fn proxy(&self, pick: u32) -> Option<&Proxy> {
        self.from(pick).map(|index| &self.slots[index].proxy).find(|proxy| proxy.is_used())
    }

    /// All of them, beginning with the one that is meant: a drain may be between two runs.
    fn from(&self, pick: u32) -> impl Iterator<Item = usize> {
        let slots = self.slots.len();
        (0..slots).map(move |next| (pick as usize + next) % slots)
    }

    /// Send a signal to a worker that runs; returns its pid when the signal has reached it.
    pub fn signal(&self, pick: u32, name: &str) -> Option<u32> {
        self.from(pick).find_map(|index| {
            let shared = self.slots[index].shared.lock().unwrap();
            shared.pid.filter(|pid| send(*pid, name))
        })
    }

    /// A process that was stopped goes on, if it is still there.
    pub fn go_on(&self, pid: u32) {
        send(pid, "CONT");
    }

    /// From the next start on this daemon's clock is off, or right again. It is started anew.
    pub fn set_clock(&self, pick: u32, offset: Option<String>) {
        let daemons = COMMANDS.iter().filter(|command| **command == "run").count();
        let mut shared = self.slots[pick as usize % daemons].shared.lock().unwrap();
        shared.clock = offset;
        if let Some(pid) = shared.pid {
            send(pid, "KILL");
        }
    }

    /// Processes whose clock was off.
    pub fn clocks_off(&self) -> Vec<u32> {
        self.slots.iter().flat_map(|slot| slot.shared.lock().unwrap().off.clone()).collect()
    }

    /// Ends that nobody asked for.
    pub fn odd_ends(&self) -> Vec<String> {
        self.slots.iter().flat_map(|slot| slot.shared.lock().unwrap().odd.clone()).collect()
    }

    /// Everybody goes on, every network is well.
    pub fn heal(&self) {
        for slot in &self.slots {
            slot.proxy.set(crate::network::Mode::Open);
            if let Some(pid) = slot.shared.lock().unwrap().pid {
                send(pid, "CONT");
            }
        }
    }

    /// SIGTERM to all, and wait until they are gone.
    pub async fn stop(&mut self) {
        self.stop.send_replace(true);
        for slot in &mut self.slots {
            if let Some(pid) = slot.shared.lock().unwrap().pid {
                send(pid, "TERM");
            }
        }
        for slot in &mut self.slots {
            (&mut slot.supervisor).await.unwrap();
        }
    }
}

/// Whether there is a library that fakes clocks.
pub fn fake_clock() -> Option<&'static str> {
    FAKETIME.into_iter().find(|path| Path::new(path).exists())
}

/// Whether the signal reached a process.
fn send(pid: u32, name: &str) -> bool {
    let kill = format!("kill -{name} {pid} 2>/dev/null");
    std::process::Command::new("/bin/sh").args(["-c", &kill]).status().is_ok_and(|status| status.success())
}

/// A worker's environment: the round's settings, and nothing of the machine's.
pub fn environment(world: &World, port: u16) -> Vec<(String, String)> {
    let direct = format!(":{}/", world.port);
    let own = world.environment.iter().map(|(name, value)| match name.as_str() {
        "EXPORTBOX_DATABASE_URL" => (name.clone(), value.replace(&direct, &format!(":{port}/"))),
        _ => (name.clone(), value.clone()),
    });
    let home = ("HOME".to_string(), world.dir.display().to_string());
    own.chain(SETTINGS.map(|(name, value)| (name.into(), value.into()))).chain([home]).collect()
}

async fn supervise(
    world: Arc<World>,
    index: usize,
    command: &'static str,
    port: u16,
    shared: Arc<Mutex<Shared>>,
    mut stopped: watch::Receiver<bool>,
) {
    let log = File::options().create(true).append(true).open(world.dir.join(format!("worker-{index}-{command}.log"))).unwrap();
    while !*stopped.borrow() {
        let clock = shared.lock().unwrap().clock.clone();
        let mut program = Command::new(PROGRAM);
        program.arg(command).env_clear().envs(environment(&world, port)).kill_on_drop(true);
        program.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log.try_clone().unwrap());
        if let (Some(clock), Some(library)) = (&clock, fake_clock()) {
            program.env("LD_PRELOAD", library).env("FAKETIME", clock).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let mut child = program.spawn().unwrap();
        {
            let mut shared = shared.lock().unwrap();
            shared.pid = child.id();
            if clock.is_some() {
                shared.off.extend(child.id());
            }
        }
        let ended = child.wait().await.unwrap();
        shared.lock().unwrap().pid = None;
        world.tally.note(format_args!("worker {index} ({command}) ended: {ended}"));
        // A signal, a clean end, a drain's verdicts, a database that was down at the start, a second SIGTERM, which ends it at once: all else is
        // a fault of the program.
        if !matches!(ended.code(), None | Some(0 | 2 | 10 | 11 | 69 | 143)) || command == "run" && ended.code() == Some(2) {
            shared.lock().unwrap().odd.push(format!("worker {index} ({command}) ended with {ended}"));
        }
        // What a service manager waits; a cron's drains come a little later.
        let pause = Duration::from_millis(if command == "run" { 300 } else { 1500 });
        drop(tokio::time::timeout(pause, stopped.wait_for(|stopped| *stopped)).await);
    }
}
