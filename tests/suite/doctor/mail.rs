//! What is wrong with the way mails leave.

use exportbox::doctor::CheckStatus;
use exportbox::sandbox::{Action, Rule, SesOptions};

use crate::harness::World;
use crate::harness::doctor::{assert_found, assert_rest_is_fine};
use crate::mail::smtp_server::{SmtpServer, Step, Turn};

#[tokio::test]
async fn a_sender_that_nobody_has_verified_is_found_before_a_mail_is() {
    let world = World::with_ses(SesOptions { verified: Some(vec!["other.example".into()]), ..SesOptions::default() }).await;
    let report = world.doctor().await;
    assert_found(&report, "sender", CheckStatus::Fail, &["no identity", "EXPORTBOX_MAIL_FROM", "AWS_REGION"]);
    assert_rest_is_fine(&report, &["sender"]);
}

#[tokio::test]
async fn a_sender_is_verified_by_its_domain_as_well() {
    let mut world = World::with_ses(SesOptions { verified: Some(vec!["example.com".into()]), ..SesOptions::default() }).await;
    assert_found(&world.doctor().await, "sender", CheckStatus::Ok, &["verified"]);
    world.settings.sender = "exports@mail.example.com".parse().unwrap();
    assert_found(&world.doctor().await, "sender", CheckStatus::Ok, &["verified"]);
}

#[tokio::test]
async fn the_sandbox_of_ses_is_told_with_where_to_ask() {
    let world = World::with_ses(SesOptions { production_access: false, ..SesOptions::default() }).await;
    let report = world.doctor().await;
    assert_found(&report, "sandbox_mode", CheckStatus::Warn, &["only verified recipients", "production access"]);
    assert_rest_is_fine(&report, &["sandbox_mode"]);
}

#[tokio::test]
async fn a_quota_is_told_when_it_is_nearly_spent_and_when_it_is() {
    let world = World::with_ses(SesOptions { max_24_hour_send: 10.0, ..SesOptions::default() }).await;
    assert_found(&world.doctor().await, "quota", CheckStatus::Ok, &["0 of 10"]);
    let recipients: Vec<String> = (0..8).map(|n| format!("ann{n}@example.com")).collect();
    world.request("select 1 as one", &recipients.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(world.drain().await.0.mailed, 8);
    let report = world.doctor().await;
    assert_found(&report, "quota", CheckStatus::Warn, &["8 of 10", "nearly spent", "raise"]);
    assert_rest_is_fine(&report, &["quota"]);
    world.ses.set_max_24_hour_send(8.0);
    assert_found(&world.doctor().await, "quota", CheckStatus::Fail, &["8 of 8", "spent"]);
    world.ses.set_max_24_hour_send(-1.0);
    assert_found(&world.doctor().await, "quota", CheckStatus::Ok, &["unlimited"]);
}

#[tokio::test]
async fn an_account_that_may_not_send_is_found() {
    let world = World::new().await;
    world.ses.set_sending_enabled(false);
    let report = world.doctor().await;
    assert_found(&report, "mail", CheckStatus::Fail, &["paused", "SES console"]);
    assert_rest_is_fine(&report, &["mail"]);
}

#[tokio::test]
async fn whoever_may_not_ask_ses_may_still_send_and_is_told_what_to_allow() {
    let world = World::new().await;
    for operation in ["GetAccount", "GetEmailIdentity"] {
        let denied = "User: arn:aws:sts::111122223333:assumed-role/x/ann@example.com is not authorized";
        world.ses.faults().add(Rule::on(operation, Action::error(403, "AccessDeniedException", denied)));
    }
    let report = world.doctor().await;
    assert_found(&report, "mail", CheckStatus::Warn, &["ses:GetAccount", "docs/iam/doctor.json"]);
    assert_found(&report, "sender", CheckStatus::Warn, &["ses:GetEmailIdentity"]);
    assert_rest_is_fine(&report, &["mail", "sender"]);
}

#[tokio::test]
async fn a_mail_server_is_greeted_and_its_login_tried() {
    let mut world = World::new().await;
    let good = SmtpServer::start(&["AUTH PLAIN LOGIN"], None).await;
    world.settings.mail = format!("smtp://ann:secret@127.0.0.1:{}?tls=none", good.port).parse().unwrap();
    assert_found(&world.doctor().await, "mail", CheckStatus::Ok, &["takes the login"]);
    assert!(good.commands().iter().any(|line| line == "NOOP") && good.mails().is_empty(), "{:?}", good.commands());

    let refuses = SmtpServer::start(&["AUTH PLAIN LOGIN"], Some((Step::Login, Turn::Say("535 5.7.8 wrong")))).await;
    world.settings.mail = format!("smtp://ann:secret@127.0.0.1:{}?tls=none", refuses.port).parse().unwrap();
    let report = world.doctor().await;
    assert_found(&report, "mail", CheckStatus::Fail, &["refuses the login", "EXPORTBOX_MAIL"]);
    assert_found(&report, "quota", CheckStatus::Skipped, &["SES"]);
    assert_rest_is_fine(&report, &["mail"]);
}

#[tokio::test]
async fn a_mail_directory_is_written_to() {
    let mut world = World::new().await;
    let (mails, file) = (world.dir().join("mails"), world.dir().join("a_file"));
    world.settings.mail = format!("file:{}", mails.display()).parse().unwrap();
    assert_found(&world.doctor().await, "mail", CheckStatus::Ok, &["can be written"]);
    assert_eq!(std::fs::read_dir(&mails).unwrap().count(), 0, "nothing stays");
    std::fs::write(&file, "").unwrap();
    world.settings.mail = format!("file:{}", file.join("mails").display()).parse().unwrap();
    assert_found(&world.doctor().await, "mail", CheckStatus::Fail, &["cannot be made", "EXPORTBOX_MAIL"]);
}
