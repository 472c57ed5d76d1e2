//! How mails leave: whether the provider would take one from this sender, and how many more today.

use super::{CheckStatus, Doctor, Finding, cut_off};
use crate::job::{Failure, FailureClass};
use crate::mail::{SesAccount, TransportCheck};

/// From this share of the quota on it is nearly spent.
const NEARLY: f64 = 0.8;

impl Doctor {
    pub(super) async fn mail(&self) -> Vec<Finding> {
        let verified = tokio::time::timeout(self.limits.patience, self.mailer.verify()).await;
        let (transport, of_ses) = match verified {
            Err(_) => (cut_off("mail", self.limits.patience), None),
            Ok(TransportCheck::Smtp(greeted)) => (taken(greeted, "the mail server answers, and takes the login if one is set"), None),
            Ok(TransportCheck::File(written)) => (taken(written, "the mail directory can be written"), None),
            Ok(TransportCheck::Ses(account, identity)) => {
                let (mail, sandbox, quota) = match &account {
                    Ok(account) => (sending(account), sandbox_mode(account), quota(account)),
                    Err(failure) => {
                        let unknown = |name| Finding::skipped(name, "SES did not say");
                        (unanswered("mail", failure), unknown("sandbox_mode"), unknown("quota"))
                    }
                };
                (mail, Some([sender(identity), sandbox, quota]))
            }
        };
        let of_ses = of_ses.unwrap_or_else(|| ["sender", "sandbox_mode", "quota"].map(|name| Finding::skipped(name, "only SES tells")));
        std::iter::once(transport).chain(of_ses).collect()
    }
}

fn taken(answer: Result<(), Failure>, said: &str) -> Finding {
    match answer {
        Ok(()) => Finding::ok("mail", said),
        Err(failure) => Finding::failed("mail", &failure),
    }
}

/// A login without the right to ask may still have the right to send.
fn unanswered(name: &'static str, failure: &Failure) -> Finding {
    let finding = Finding::failed(name, failure);
    if failure.class == FailureClass::Permission { Finding { status: CheckStatus::Warn, ..finding } } else { finding }
}

fn sending(account: &SesAccount) -> Finding {
    if !account.sending_enabled || account.enforcement == "SHUTDOWN" {
        let fix = "resume sending in the SES console, or ask AWS Support why it was stopped";
        return Finding::fail("mail", "sending is paused for this account in this region", fix);
    }
    if account.enforcement != "HEALTHY" {
        return Finding::warn("mail", "AWS has put this account on probation for bounces or complaints", "see the reputation page of SES");
    }
    Finding::ok("mail", "SES answers, and this account may send in this region")
}

fn sender(identity: Result<Option<bool>, Failure>) -> Finding {
    let fix = "verify the address of EXPORTBOX_MAIL_FROM or its domain in SES, in the region of AWS_REGION";
    match identity {
        Ok(Some(true)) => Finding::ok("sender", "the sender is a verified identity, by itself or by its domain"),
        Ok(Some(false)) => Finding::fail("sender", "the sender's identity is not verified yet", fix),
        Ok(None) => Finding::fail("sender", "the sender is no identity of this account in this region", fix),
        Err(failure) => unanswered("sender", &failure),
    }
}

fn sandbox_mode(account: &SesAccount) -> Finding {
    if account.production_access {
        return Finding::ok("sandbox_mode", "no: the account has production access");
    }
    Finding::warn(
        "sandbox_mode",
        "the account is in the SES sandbox: only verified recipients are mailed, 200 in a day",
        "ask AWS for production access in this region: SES console, Account dashboard",
    )
}

fn quota(account: &SesAccount) -> Finding {
    let (most, sent) = (account.most_in_24_hours, account.sent_in_24_hours);
    if most < 0.0 {
        return Finding::ok("quota", "unlimited");
    }
    let said = format!("{sent:.0} of {most:.0} recipients in the last 24 hours");
    let fix = "ask AWS to raise the sending quota (Service Quotas); mails wait until the window has moved on";
    if sent >= most {
        return Finding::fail("quota", format!("{said}: it is spent"), fix);
    }
    if sent >= most * NEARLY { Finding::warn("quota", format!("{said}: nearly spent"), fix) } else { Finding::ok("quota", said) }
}
