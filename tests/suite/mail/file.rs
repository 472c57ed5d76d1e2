//! The `file:` transport.

use std::fs;

use exportbox::job::{FailureClass, Verdict};
use exportbox::mail::Mailer;

use super::{DELIVERY, assert_failure, assert_unharmed, awkward_message, sender};

#[tokio::test]
async fn a_mail_in_a_directory_is_unharmed() {
    let home = tempfile::tempdir().expect("a directory");
    let mailbox = home.path().join("made/when/needed");
    let mailer = Mailer::file(&mailbox, sender());
    let message = awkward_message();

    let id = mailer.send(&message).await.expect("sent");

    assert_eq!((mailer.provider(), id), ("file", format!("{DELIVERY}.eml")));
    assert_unharmed(&fs::read(mailbox.join(format!("{DELIVERY}.eml"))).expect("a mail"), &message);
}

#[tokio::test]
async fn a_second_attempt_of_a_delivery_does_not_double_the_mail() {
    let mailbox = tempfile::tempdir().expect("a directory");
    let mailer = Mailer::file(mailbox.path(), sender());
    let mut message = awkward_message();
    mailer.send(&message).await.expect("sent");
    message.text = "the second".into();

    mailer.send(&message).await.expect("sent again");

    let files: Vec<_> = fs::read_dir(mailbox.path()).expect("a listing").map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(files.len(), 1, "no double and no draft: {files:?}");
    assert_unharmed(&fs::read(&files[0]).expect("a mail"), &message);
}

#[tokio::test]
async fn a_mailbox_that_cannot_be_made_holds_the_mails() {
    let home = tempfile::tempdir().expect("a directory");
    let in_the_way = home.path().join("file");
    fs::write(&in_the_way, "").expect("written");
    for mailbox in [in_the_way.clone(), in_the_way.join("below")] {
        let failure = Mailer::file(&mailbox, sender()).send(&awkward_message()).await.expect_err("not sent");
        assert_failure(&failure, FailureClass::MailConfig, Verdict::Hold, "name a directory", &mailbox.display().to_string());
    }
}

#[tokio::test]
async fn a_failed_attempt_leaves_no_draft() {
    let mailbox = tempfile::tempdir().expect("a directory");
    // A directory with the mail's name: everything works until the rename.
    fs::create_dir_all(mailbox.path().join(format!("{DELIVERY}.eml/x"))).expect("made");

    let failure = Mailer::file(mailbox.path(), sender()).send(&awkward_message()).await.expect_err("not sent");

    assert_eq!((failure.class, failure.verdict), (FailureClass::MailConfig, Verdict::Hold));
    assert_eq!(fs::read_dir(mailbox.path()).expect("a listing").count(), 1);
}
