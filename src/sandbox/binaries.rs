//! Where this machine keeps PostgreSQL's server programs, and as whom they may run.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// The oldest major version that the schema works on.
const OLDEST: u32 = 14;

/// The directory with `initdb` and `postgres`.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    pub(super) dir: PathBuf,
    pub(super) major: u32,
}

/// Finds the server programs: `EXPORTBOX_PG_BIN`, `PATH`, then where the systems' packages put them, newest first.
pub(super) fn find() -> anyhow::Result<Binaries> {
    if let Some(dir) = std::env::var_os("EXPORTBOX_PG_BIN").filter(|dir| !dir.is_empty()) {
        let dir = PathBuf::from(dir);
        let major =
            version_in(&dir).with_context(|| format!("EXPORTBOX_PG_BIN={} holds no initdb and postgres that run", dir.display()))?;
        anyhow::ensure!(major >= OLDEST, "EXPORTBOX_PG_BIN holds PostgreSQL {major}; {OLDEST} or newer is needed");
        return Ok(Binaries { dir, major });
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // The first in PATH is the user's choice; of the packaged ones the newest.
    let chosen = std::env::split_paths(&path).filter_map(|dir| dir.join("initdb").canonicalize().ok()?.parent().map(Path::to_owned));
    let mut packaged: Vec<Binaries> = packaged_dirs().into_iter().filter_map(usable).collect();
    packaged.sort_by_key(|found| std::cmp::Reverse(found.major));
    chosen.filter_map(usable).chain(packaged).next().with_context(|| {
        format!(
            "PostgreSQL's server programs (initdb, postgres; version {OLDEST} or newer) were not found: install them, for example with \
             `apt-get install postgresql` on Debian or `brew install postgresql` on macOS, or set EXPORTBOX_PG_BIN to their directory"
        )
    })
}

fn usable(dir: PathBuf) -> Option<Binaries> {
    let major = version_in(&dir)?;
    (major >= OLDEST).then_some(Binaries { dir, major })
}

fn packaged_dirs() -> Vec<PathBuf> {
    let versions = |parent: &str, start: &str, end: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start)).map(|entry| entry.path().join(end)).collect()
    };
    [
        versions("/usr/lib/postgresql", "", "bin"),
        versions("/usr", "pgsql-", "bin"),
        versions("/opt/homebrew/opt", "postgresql", "bin"),
        versions("/usr/local/opt", "postgresql", "bin"),
        vec![PathBuf::from("/usr/bin"), PathBuf::from("/usr/local/bin"), PathBuf::from("/usr/local/pgsql/bin")],
    ]
    .concat()
}

/// The major version, when both programs are there and run.
fn version_in(dir: &Path) -> Option<u32> {
    if !dir.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(dir.join("postgres")).arg("--version").output().ok()?;
    // `postgres (PostgreSQL) 15.8 (Debian ...)`, `postgres (PostgreSQL) 18beta1`
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnixAccount {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// As whom the database runs: none says as ourselves; root may not, and takes `postgres` or `nobody`.
pub(super) fn unprivileged(owned_by_us: &Path) -> anyhow::Result<Option<UnixAccount>> {
    if std::fs::metadata(owned_by_us).context("look at the sandbox's directory")?.uid() != 0 {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    let account = ["postgres", "nobody"].into_iter().find_map(|name| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(UnixAccount { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    });
    account.map(Some).context("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as")
}

/// A directory for temporary files that every user can enter: root's own may be closed to the database's user.
pub(super) fn open_temp_dir() -> PathBuf {
    let asked = std::env::temp_dir();
    let open = |dir: &Path| {
        dir.canonicalize().is_ok_and(|dir| {
            dir.ancestors().all(|part| std::fs::metadata(part).is_ok_and(|meta| meta.is_dir() && meta.mode() & 0o001 != 0))
        })
    };
    if open(&asked) { asked } else { ["/tmp", "/var/tmp"].into_iter().map(PathBuf::from).find(|dir| open(dir)).unwrap_or(asked) }
}

/// What a server program needs of our environment, and nothing else: PG*, real AWS credentials and the like stay out.
pub(super) fn small_environment() -> Vec<(OsString, OsString)> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    vec![("PATH".into(), path), ("LC_ALL".into(), "C".into()), ("TZ".into(), "UTC".into())]
}
