//! What an error of a provider means for the job. The only place that reads an AWS code, an SMTP reply or a disk error of a mailbox.

mod ses;
mod smtp;

use std::error::Error;
use std::io::{self, ErrorKind};

pub(super) use ses::{Correspondents, is_not_found, question, ses};
pub(super) use smtp::{Phase, smtp, smtp_silence};

use crate::job::{Failure, FailureClass, Verdict};

/// A setting is wrong; every mail would fail.
fn hold(sentence: &'static str) -> Failure {
    Failure::new(FailureClass::MailConfig, Verdict::Hold, sentence)
}

/// This mail is refused; another attempt would be refused as well.
fn bury(sentence: &'static str) -> Failure {
    Failure::new(FailureClass::MailRejected, Verdict::Bury, sentence)
}

/// The provider wants fewer mails.
fn throttled(sentence: &'static str) -> Failure {
    Failure::new(FailureClass::MailThrottled, Verdict::Retry, sentence)
}

/// The mail cannot have left.
fn unavailable(sentence: &'static str) -> Failure {
    Failure::new(FailureClass::MailUnavailable, Verdict::Retry, sentence)
}

/// The mail may have left.
fn unknown(sentence: &'static str) -> Failure {
    Failure::new(FailureClass::MailUnknown, Verdict::Unknown, sentence)
}

/// A disk error of the `file:` transport.
pub(super) fn disk(error: &io::Error) -> Failure {
    let sentence = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "The mail directory cannot be written: give the daemon's user write permission, or name another directory in EXPORTBOX_MAIL."
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory => {
            "The mail directory is missing and cannot be made: name a directory in EXPORTBOX_MAIL, not a file."
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "The disk of the mail directory is full: make room.",
        _ => "The mail directory cannot be used: check the disk and the directory named in EXPORTBOX_MAIL.",
    };
    hold(sentence).with_detail(error)
}

/// The `file:` transport's disk does not answer. The next attempt replaces the same file, so this is never unknown.
pub(super) fn disk_silence() -> Failure {
    unavailable("The disk of the mail directory did not answer in time.")
}

/// The first error of type `E` in the chain, also inside the I/O errors of it: those do not show what they wrap as their source.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|inner| find::<E>(inner)) {
            return Some(found);
        }
        current = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_error_holds_the_mails_and_names_the_fix() {
        for (kind, fix) in [
            (ErrorKind::PermissionDenied, "write permission"),
            (ErrorKind::ReadOnlyFilesystem, "write permission"),
            (ErrorKind::NotFound, "name a directory"),
            (ErrorKind::NotADirectory, "name a directory"),
            (ErrorKind::AlreadyExists, "name a directory"),
            (ErrorKind::StorageFull, "make room"),
            (ErrorKind::QuotaExceeded, "make room"),
            (ErrorKind::Other, "check the disk"),
        ] {
            let failure = disk(&io::Error::from(kind));
            assert_eq!((failure.class, failure.verdict), (FailureClass::MailConfig, Verdict::Hold), "{kind}");
            assert!(failure.sentence.contains(fix), "{kind}: {}", failure.sentence);
        }
        assert_eq!(disk_silence().verdict, Verdict::Retry);
    }

    #[test]
    fn an_error_is_found_inside_an_io_error() {
        let error = io::Error::other(io::Error::other(rustls::Error::DecryptError));
        assert!(find::<rustls::Error>(&error).is_some());
        assert!(find::<std::fmt::Error>(&error).is_none());
    }
}
