//! Places where a test may kill the process: one between every two steps of an attempt.
//!
//! `FAILPOINTS='export.published=return' exportbox drain` kills the process with SIGKILL when it gets there; `1*off->return` lets it pass once
//! first. Development builds only: without the feature `sandbox`, and in every release build, `step!` expands to nothing.
//!
//! [`POINTS`] is the list of them; the crash test goes through it, so that a new point without an expectation fails it.

/// Every point, in the order of an attempt: its name, and what is true when a process dies there.
pub const POINTS: [(&str, &str); 35] = [
    ("export.claimed", "The claim is committed; nothing has begun."),
    ("export.loaded", "The request is read."),
    ("export.opened", "The snapshot is open on the source; no row says which server process that is."),
    ("export.noted_backend", "The attempt names its server process and its exporter."),
    ("export.noted_store", "The attempt says where it will store; nothing is stored."),
    ("export.copying", "copy: the query runs."),
    ("export.began_upload", "copy: a multipart upload is open; no row knows its id."),
    ("export.noted_upload", "copy: the attempt names its upload; it has no part yet."),
    ("export.stored_part", "copy: the store has a part, and the upload is open."),
    ("export.publishing", "copy: everything is sent that can be sent before the file is visible in the bucket."),
    ("export.published", "copy: the file is in the bucket, not verified."),
    ("export.calling", "aws_s3: the function is not called yet."),
    ("export.called", "aws_s3: the database has written all files; they are not verified."),
    ("export.verified", "The file is stored and verified; no row knows it."),
    ("export.aborting", "copy: the attempt has failed or was stopped; its query may run and its upload be open."),
    ("export.aborted", "copy: the query and the upload of a failed attempt are ended; no row says that it failed."),
    ("export.settling", "What became of the attempt is known, and written nowhere."),
    ("export.settled", "It is written, with the manifest and the deliveries if it succeeded; the process has not heard so."),
    ("worker.released", "A wrong setting: the job is given back; its kind is not on hold yet."),
    ("message.claimed", "The claim is committed; nothing has begun."),
    ("message.loaded", "The recipient and what the mail says are read."),
    ("message.prepared", "The mail is composed, and its link signed."),
    ("message.stamped", "The message is stamped `sending`; the provider was not called."),
    ("message.accepted", "The provider has the mail; no row knows it. The one window that can double a mail opens with `message.stamped`."),
    ("message.settling", "What became of the attempt is known, and written nowhere."),
    ("message.settled", "It is written; the process has not heard so."),
    ("worker.gathered", "Mails about what died are queued; nobody has begun to send them."),
    ("worker.reaped", "The lease of a lost worker is ended; its query may run, and what it stored is there."),
    ("worker.ended_query", "The query of the lost worker is ended; what it stored is there."),
    ("worker.aborting", "A sweep has found what to sweep, and removed nothing."),
    ("worker.aborted", "A sweep has aborted the uploads; the objects are there."),
    ("worker.swept", "A sweep has removed everything; no row says so."),
    ("worker.recorded_sweep", "The attempt says that nothing of it is left."),
    ("worker.pruned", "Exports are deleted, with a note of each of their files; the files are there."),
    ("worker.removed_leftovers", "Files of deleted exports are gone; their notes are there."),
];

/// A point of [`POINTS`]. Nothing at all in release builds and without the sandbox.
#[cfg(all(feature = "sandbox", debug_assertions))]
macro_rules! step {
    ($name:literal) => {
        $crate::failpoint::reached($name)
    };
}

/// A point of [`POINTS`]. Nothing at all in release builds and without the sandbox.
#[cfg(not(all(feature = "sandbox", debug_assertions)))]
macro_rules! step {
    ($name:literal) => {{}};
}

/// Holds what `FAILPOINTS` says until it is dropped.
#[cfg(all(feature = "sandbox", debug_assertions))]
pub struct Armed(#[expect(dead_code, reason = "it disarms when it is dropped")] fail::FailScenario<'static>);

/// Do from now on what `FAILPOINTS` says.
///
/// # Errors
/// It names a point that there is not: whoever waits for that crash would wait in vain.
#[cfg(all(feature = "sandbox", debug_assertions))]
pub fn arm() -> Result<Armed, String> {
    let scenario = fail::FailScenario::setup();
    match fail::list().into_iter().find(|(name, _)| !POINTS.iter().any(|(known, _)| known == name)) {
        Some((name, _)) => Err(format!("FAILPOINTS: there is no point \"{name}\"; src/failpoint.rs lists them")),
        None => Ok(Armed(scenario)),
    }
}

/// The process got to this point.
#[cfg(all(feature = "sandbox", debug_assertions))]
pub fn reached(name: &str) {
    fail::fail_point!(name, |_| die());
}

/// No destructor, no last statement, no goodbye to anybody: as the kernel does it when memory is short.
#[cfg(all(feature = "sandbox", debug_assertions))]
fn die() -> ! {
    if std::process::Command::new("/bin/sh").args(["-c", r#"kill -s KILL "$PPID""#]).spawn().is_err() {
        std::process::abort();
    }
    loop {
        std::thread::park();
    }
}
