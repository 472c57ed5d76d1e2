//! PgBouncer in transaction mode between the daemon and its database.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use exportbox::database::DatabaseUrl;

use super::{World, server};

/// Ends the pooler when our end of its pipe closes, however we died.
const SCRIPT: &str = r#""$@" & read -r _; kill -TERM $!; wait"#;

/// A running PgBouncer. Dropping it ends it.
pub struct Pooler {
    child: Child,
    port: u16,
    target: u16,
    _dir: tempfile::TempDir,
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    places.map(|place| place.join("pgbouncer")).find(|program| program.is_file())
}

/// Newer ones keep track of named statements unless they are told not to; older ones do not know the setting.
fn without_named_statements(program: &Path) -> &'static str {
    let version = Command::new(program).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let number = version.split_whitespace().nth(1).unwrap_or_default();
    let minor: u32 = number.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or_default();
    if minor >= 21 { "max_prepared_statements = 0" } else { "" }
}

/// PgBouncer refuses to run as root.
fn other_user() -> Option<&'static str> {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    ["postgres", "nobody"].into_iter().find(|name| accounts.lines().any(|line| line.starts_with(&format!("{name}:"))))
}

impl Pooler {
    /// In front of this port of the machine, with so many connections for each login and more lines of configuration. `None`: the machine has no
    /// PgBouncer, and whoever runs the tests has said so.
    pub async fn start(target: u16, pool_size: u32, more: &str) -> Option<Pooler> {
        let Some(program) = program() else {
            let without = std::env::var_os("EXPORTBOX_WITHOUT_PGBOUNCER").is_some();
            assert!(without, "pgbouncer is missing: apt-get install -y pgbouncer, or set EXPORTBOX_WITHOUT_PGBOUNCER=1 to go without");
            eprintln!("NOT RUN: this machine has no pgbouncer");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (users, config) = (dir.path().join("users.txt"), dir.path().join("pgbouncer.ini"));
        let passwords: String = [server::APP, server::DAEMON].map(|name| format!("\"{name}\" \"{name}\"\n")).concat();
        write(&users, &passwords);
        write(
            &config,
            &format!(
                "[databases]\n* = host=127.0.0.1 port={target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = {pool_size}\n\
                 server_login_retry = 1\n{more}\n{}\n",
                users.display(),
                without_named_statements(&program)
            ),
        );
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "pooler"]).arg(program).arg("-q").arg(&config);
        if std::fs::metadata(dir.path()).unwrap().uid() == 0 {
            command.args(["-u", other_user().expect("a user to run pgbouncer as")]);
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pooler = Pooler { child, port, target, _dir: dir };
        let begun = tokio::time::Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(begun.elapsed() < super::PATIENCE, "pgbouncer does not start");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Some(pooler)
    }

    /// The same database through the pooler.
    pub fn url(&self, direct: &str) -> String {
        direct.replace(&format!(":{}/", self.target), &format!(":{}/", self.port))
    }
}

fn write(path: &Path, text: &str) {
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl World {
    /// A world whose daemons know that a pooler with so many connections stands before outbox and source.
    pub async fn pooled(pool_size: u32) -> Option<(World, Pooler)> {
        let mut world = World::new().await;
        let pooler = Pooler::start(super::postgres().port(), pool_size, "").await?;
        let through = DatabaseUrl::parse(&pooler.url(&world.daemon_url())).unwrap().behind_pooler(true);
        (world.settings.database, world.settings.source) = (through.clone(), through);
        world.settings.work.slots = 1;
        world.settings.work.poll = std::time::Duration::from_millis(200);
        Some((world, pooler))
    }
}
