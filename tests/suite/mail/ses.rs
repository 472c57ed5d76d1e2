//! SES, through the real SDK.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::{BehaviorVersion, Region};
use exportbox::job::{FailureClass, Verdict};
use exportbox::mail::Mailer;
use serde_json::json;

use super::ses_server::{Answer, SesServer};
use super::{DELIVERY, EXPORT, RECIPIENT, assert_failure, assert_unharmed, awkward_message, sender};

/// As a careless caller builds it: with the SDK's usual retries.
fn config(port: u16) -> aws_sdk_sesv2::config::Builder {
    aws_sdk_sesv2::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-central-1"))
        .endpoint_url(format!("http://127.0.0.1:{port}"))
        .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1)))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
}

fn mailer(config: aws_sdk_sesv2::config::Builder) -> Mailer {
    Mailer::ses(aws_sdk_sesv2::Client::from_conf(config.build()), sender(), Some("exportbox-events".into()))
}

fn not_verified(addresses: &str) -> String {
    format!("Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: {addresses}")
}

#[tokio::test]
async fn a_mail_over_ses_is_unharmed() {
    let server = SesServer::start(Answer::Accept("0100-abc-000000")).await;
    let message = awkward_message();

    let mailer = mailer(config(server.port));
    let id = mailer.send(&message).await.expect("sent");

    assert_eq!((mailer.provider(), id.as_str()), ("ses", "0100-abc-000000"));
    assert_unharmed(&server.mime(), &message);
    let mut request = server.requests().remove(0);
    request["Content"].take();
    let expected = json!({
        "FromEmailAddress": "exports@sender.example",
        "Destination": { "ToAddresses": [RECIPIENT] },
        "Content": null,
        "EmailTags": [
            { "Name": "exportbox-export", "Value": EXPORT.to_string() },
            { "Name": "exportbox-delivery", "Value": DELIVERY.to_string() },
        ],
        "ConfigurationSetName": "exportbox-events",
    });
    assert_eq!(request, expected);
}

#[tokio::test]
async fn each_refusal_of_ses_is_classified() {
    use FailureClass::{MailConfig, MailRejected, MailThrottled, MailUnavailable, MailUnknown};
    use Verdict::{Bury, Hold, Postpone, Retry, Unknown};
    let gibberish = || "gibberish about ann.smith+x@customer.example".to_owned();
    let us = "exports@sender.example";
    let rows = [
        (429, "TooManyRequestsException", gibberish(), MailThrottled, Retry, "slow down"),
        (400, "ThrottlingException", "Maximum sending rate exceeded.".into(), MailThrottled, Retry, "sending rate"),
        (400, "ThrottlingException", "Daily message quota exceeded.".into(), MailThrottled, Postpone, "daily sending quota"),
        (400, "Throttling", gibberish(), MailThrottled, Retry, "slow down"),
        (400, "LimitExceededException", gibberish(), MailThrottled, Retry, "limit of the account"),
        (400, "AccountSuspendedException", gibberish(), MailConfig, Hold, "AWS Support"),
        (400, "SendingPausedException", gibberish(), MailConfig, Hold, "resume it"),
        (400, "MailFromDomainNotVerifiedException", gibberish(), MailConfig, Hold, "MAIL FROM"),
        (404, "NotFoundException", gibberish(), MailConfig, Hold, "configuration set"),
        (400, "BadRequestException", "Configuration set <x> does not exist.".into(), MailConfig, Hold, "configuration set"),
        (400, "BadRequestException", gibberish(), MailRejected, Bury, "malformed"),
        (400, "MessageRejected", gibberish(), MailRejected, Bury, "content"),
        (400, "MessageRejected", not_verified(us), MailConfig, Hold, "verify the identity"),
        (400, "MessageRejected", not_verified("Exports <EXPORTS@sender.example>"), MailConfig, Hold, "verify the identity"),
        (400, "MessageRejected", not_verified("sender.example"), MailConfig, Hold, "verify the identity"),
        (400, "MessageRejected", not_verified("arn:aws:ses:eu-central-1:1:identity/exports@sender.example"), MailConfig, Hold, "verify"),
        (400, "MessageRejected", not_verified(&format!("{RECIPIENT}, {us}")), MailConfig, Hold, "verify the identity"),
        (400, "MessageRejected", not_verified("somebody-else@sender2.example"), MailConfig, Hold, "verify the identity"),
        (400, "MessageRejected", not_verified(RECIPIENT), MailRejected, Bury, "sandbox"),
        (403, "AccessDeniedException", gibberish(), MailConfig, Hold, "ses:SendRawEmail"),
        (403, "InvalidClientTokenId", gibberish(), MailConfig, Hold, "access key"),
        (403, "UnrecognizedClientException", gibberish(), MailConfig, Hold, "access key"),
        (403, "SignatureDoesNotMatch", gibberish(), MailConfig, Hold, "clock"),
        (403, "InvalidSignatureException", gibberish(), MailConfig, Hold, "clock"),
        (403, "InvalidSignatureException", "Signature expired: 1 is now earlier than 2".into(), MailUnavailable, Retry, "clock"),
        (403, "InvalidSignatureException", "Signature not yet current: 2 is still later than 1".into(), MailUnavailable, Retry, "clock"),
        (403, "RequestTimeTooSkewed", gibberish(), MailUnavailable, Retry, "clock"),
        (403, "ExpiredTokenException", gibberish(), MailConfig, Hold, "expired"),
        (400, "ExpiredToken", gibberish(), MailConfig, Hold, "expired"),
        (403, "SomethingNewException", gibberish(), MailConfig, Hold, "role"),
        (400, "SomethingNewException", gibberish(), MailRejected, Bury, "refuses this mail"),
        (500, "InternalServiceErrorException", gibberish(), MailUnknown, Unknown, "may have been sent"),
        (502, "", gibberish(), MailUnknown, Unknown, "may have been sent"),
        (503, "ServiceUnavailable", gibberish(), MailUnknown, Unknown, "may have been sent"),
        (504, "", gibberish(), MailUnknown, Unknown, "may have been sent"),
        (429, "", gibberish(), MailThrottled, Retry, "slow down"),
        (400, "", gibberish(), MailUnavailable, Retry, "before SES"),
        (407, "", gibberish(), MailConfig, Hold, "proxy"),
        (404, "", gibberish(), MailConfig, Hold, "AWS_REGION"),
    ];
    for (status, code, text, class, verdict, words) in rows {
        let case = format!("{status} {code} {text}");
        let server = SesServer::start(Answer::Refuse(status, code, text.clone())).await;
        let failure = mailer(config(server.port)).send(&awkward_message()).await.expect_err(&case);
        assert_failure(&failure, class, verdict, words, &case);
        assert!(failure.detail.as_deref().unwrap_or_default().contains(&text), "operators see the text: {case}");
        assert_eq!(server.requests().len(), 1, "a repeat may be a second mail: {case}");
    }
}

#[tokio::test]
async fn the_longer_of_both_waits_of_a_throttle_counts() {
    for (answer, wait) in [
        (Answer::Refuse(400, "ThrottlingException", "Maximum sending rate exceeded.".into()), None),
        (Answer::Refuse(400, "ThrottlingException", "Daily message quota exceeded.".into()), Some(600)),
        (Answer::Refuse(400, "LimitExceededException", String::new()), Some(60)),
        (Answer::Raw(429, r#"{"__type":"TooManyRequestsException","message":"x"}"#, Some(7)), Some(7)),
        (Answer::Raw(400, r#"{"__type":"LimitExceededException","message":"x"}"#, Some(90)), Some(90)),
    ] {
        let server = SesServer::start(answer).await;
        let failure = mailer(config(server.port)).send(&awkward_message()).await.expect_err("throttled");
        assert_eq!(failure.class, FailureClass::MailThrottled);
        assert_eq!(failure.retry_after, wait.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_not_repeated() {
    for (answer, case) in [
        (Answer::Cut, "the connection broke"),
        (Answer::Silence, "no answer in time"),
        (Answer::Raw(200, "not JSON", None), "an answer that cannot be read"),
        (Answer::Raw(302, "", None), "an answer that makes no sense"),
    ] {
        let server = SesServer::start(answer).await;
        let mailer = mailer(config(server.port)).with_timeout(Duration::from_millis(300));
        let failure = mailer.send(&awkward_message()).await.expect_err(case);
        assert_failure(&failure, FailureClass::MailUnknown, Verdict::Unknown, "may have been sent", case);
        assert_eq!(server.requests().len(), 1, "{case}");
    }
}

#[tokio::test]
async fn a_call_that_never_left_is_not_unknown() {
    use FailureClass::{MailConfig, MailUnavailable};
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let none = || provide_credentials_fn(|| async { Err(CredentialsError::not_loaded("gibberish")) });
    let broken = || provide_credentials_fn(|| async { Err(CredentialsError::provider_error("gibberish")) });
    let silent = || provide_credentials_fn(std::future::pending);
    for (config, class, verdict, words, case) in [
        (config(closed), MailUnavailable, Verdict::Retry, "cannot be reached", "connection refused"),
        (config(1).endpoint_url("http://nowhere.invalid"), MailUnavailable, Verdict::Retry, "cannot be reached", "no such name"),
        (config(closed).credentials_provider(none()), MailConfig, Verdict::Hold, "no usable AWS credentials", "no credentials"),
        (config(closed).credentials_provider(broken()), MailConfig, Verdict::Hold, "cannot be fetched", "credentials endpoint broken"),
        (config(closed).credentials_provider(silent()), MailUnavailable, Verdict::Retry, "did not come", "credentials endpoint silent"),
        (config(closed).endpoint_url("not a url"), MailConfig, Verdict::Hold, "endpoint", "endpoint is no URL"),
    ] {
        let failure = mailer(config).with_timeout(Duration::from_millis(500)).send(&awkward_message()).await.expect_err(case);
        assert_failure(&failure, class, verdict, words, case);
    }
}
