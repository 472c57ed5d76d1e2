//! The errors of SES v2 `SendEmail`: codes and statuses of the API reference, and the ones that SES uses without documenting them there.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sesv2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use hyper_util::client::legacy::Error as HttpError;

use super::{bury, find, hold, throttled, unavailable, unknown};
use crate::job::{Failure, FailureClass, Verdict};

/// AWS advises to wait up to ten minutes when the daily quota is used up; it is a rolling window.
const DAILY_QUOTA_DELAY: Duration = Duration::from_secs(600);
/// `LimitExceededException` names a limit without saying when it ends.
const LIMIT_DELAY: Duration = Duration::from_secs(60);

/// Whose address a refusal may name.
#[derive(Clone, Copy)]
pub(in crate::mail) struct Correspondents<'a> {
    pub(in crate::mail) sender: &'a str,
    pub(in crate::mail) recipient: &'a str,
}

/// A call that failed. `departed`: the request was handed to the connection.
pub(in crate::mail) fn ses(error: &SdkError<SendEmailError, HttpResponse>, departed: bool, who: Correspondents<'_>) -> Failure {
    let failure = match error {
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
            let response = error.raw_response();
            let status = response.map_or(0, |response| response.status().as_u16());
            let wait = response.and_then(|response| response.headers().get("retry-after")).and_then(|seconds| seconds.parse().ok());
            refused(status, error.code(), error.message().unwrap_or_default(), who, wait.map(Duration::from_secs))
        }
        _ => unanswered(error, departed),
    };
    failure.with_detail(DisplayErrorContext(error)).with_code(error.code())
}

/// SES has nothing under that name.
pub(in crate::mail) fn is_not_found(error: &impl ProvideErrorMetadata) -> bool {
    error.code() == Some("NotFoundException")
}

/// A question to SES that failed. It was not about sending a mail, so no mail is unknown.
pub(in crate::mail) fn question<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let failure = match error.code().unwrap_or_default() {
        code if code.starts_with("AccessDenied") => {
            let sentence = "These credentials may not ask SES that: allow ses:GetAccount (docs/iam/daemon.json) and ses:GetEmailIdentity (docs/iam/doctor.json).";
            Failure::new(FailureClass::Permission, Verdict::Postpone, sentence)
        }
        code if is_about_clock(Some(code), error.message().unwrap_or_default()) => {
            hold("SES refuses the signature's time: synchronise the clock of this machine, for example with chrony.")
        }
        "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidSignatureException" | "ExpiredTokenException" => {
            hold("SES does not accept the credentials: check the access key, the profile or the role.")
        }
        "TooManyRequestsException" | "ThrottlingException" => throttled("SES takes one question a second: ask again."),
        "" if find::<CredentialsError>(error).is_some() => {
            hold("There are no usable AWS credentials: give this task or machine a role, a profile or an access key.")
        }
        "" => unavailable("SES cannot be reached: check the region, the endpoint, the DNS and the way out of this network."),
        _ => unavailable("SES refuses to say: see its service health, and ask again."),
    };
    failure.with_detail(DisplayErrorContext(error))
}

fn unanswered(error: &SdkError<SendEmailError, HttpResponse>, departed: bool) -> Failure {
    if departed && !find::<HttpError>(error).is_some_and(HttpError::is_connect) {
        return unknown("SES got the mail and its answer was lost: it may have been sent.");
    }
    if departed {
        return unavailable("SES cannot be reached: check the region, the endpoint, the DNS and the way out of this network.");
    }
    match find::<CredentialsError>(error) {
        Some(CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_)) => {
            hold("The AWS credentials cannot be fetched: check the role of this task or machine, and the way to its metadata endpoint.")
        }
        Some(_) => hold("There are no usable AWS credentials: give this task or machine a role that may call ses:SendRawEmail."),
        None if matches!(error, SdkError::TimeoutError(_)) => unavailable("SES was not called in time: the AWS credentials did not come."),
        None => hold("The request to SES cannot be made: check AWS_REGION and the endpoint settings."),
    }
}

fn refused(status: u16, code: Option<&str>, text: &str, who: Correspondents<'_>, wait: Option<Duration>) -> Failure {
    match code.unwrap_or_default() {
        "TooManyRequestsException" | "ThrottlingException" | "Throttling" => throttle(text, wait),
        "LimitExceededException" => {
            throttled("SES says that a limit of the account is reached.").with_retry_after(wait.max(Some(LIMIT_DELAY)))
        }
        _ if status >= 500 => unknown("SES had a fault of its own: the mail may have been sent."),
        "AccountSuspendedException" => {
            hold("AWS has barred this account from sending for good: talk to AWS Support, or set another transport.")
        }
        "SendingPausedException" => hold("Sending is paused for this account or configuration set: resume it in the SES console."),
        "MailFromDomainNotVerifiedException" => {
            hold("The sender's custom MAIL FROM domain is not verified: mend its MX record, or remove it in SES.")
        }
        "NotFoundException" => hold("SES does not know the configuration set: create it, or correct its name in the settings."),
        // SES uses these words for an unknown configuration set, too.
        "BadRequestException" if text.to_ascii_lowercase().contains("configuration set") => {
            hold("SES does not accept the configuration set: create it, or correct its name in the settings.")
        }
        "BadRequestException" => bury("SES refuses this mail as malformed."),
        "MessageRejected" => rejected(text, who),
        "AccessDeniedException" | "AccessDenied" => hold(
            "The AWS credentials may not send: allow ses:SendEmail and ses:SendRawEmail on the sender's identity and configuration set.",
        ),
        "InvalidClientTokenId" | "UnrecognizedClientException" | "MissingAuthenticationToken" | "MissingAuthenticationTokenException" => {
            hold("AWS does not know the access key: renew the credentials of this task or machine.")
        }
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "RequestTimeTooSkewed" if is_about_clock(code, text) => {
            // The answer has told the SDK how far: the next call is signed by AWS's clock. One machine's clock must not hold up the others.
            unavailable("AWS refuses the signature because the clock of this machine is off: synchronise it, for example with chrony.")
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" | "IncompleteSignature" => {
            hold("AWS refuses the signature: check the secret access key and the clock of this machine.")
        }
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => {
            hold("The AWS credentials have expired: renew them, or run with a role that renews them by itself.")
        }
        code => other(status, code),
    }
}

/// "Signature expired: … is now earlier than …", "Signature not yet current: … is still later than …".
fn is_about_clock(code: Option<&str>, text: &str) -> bool {
    code == Some("RequestTimeTooSkewed") || text.starts_with("Signature expired") || text.starts_with("Signature not yet current")
}

/// Without a code the answer is not from SES but from something before it, such as a proxy; nothing has been sent.
fn other(status: u16, code: &str) -> Failure {
    match status {
        429 => throttled("SES asks to slow down."),
        401 | 403 | 407 => {
            hold("AWS refuses the credentials or the network path: check the role, its policy and any proxy or endpoint policy.")
        }
        404 => hold("There is no SES at this address: check AWS_REGION and the endpoint settings."),
        400..=499 if code.is_empty() => unavailable("Something before SES refused the request: check proxies and endpoint settings."),
        400..=499 => bury("SES refuses this mail."),
        _ => unknown("SES gave an answer that cannot be read: the mail may have been sent."),
    }
}

fn throttle(text: &str, wait: Option<Duration>) -> Failure {
    let text = text.to_ascii_lowercase();
    if text.contains("daily") || text.contains("24 hour") || text.contains("24-hour") {
        // The quota frees up over hours: counted attempts would kill the backlog before that.
        let mut failure =
            throttled("The account's daily sending quota is used up: mails go on as it frees up, or ask AWS for a higher one.");
        failure.verdict = Verdict::Postpone;
        return failure.with_retry_after(wait.max(Some(DAILY_QUOTA_DELAY)));
    }
    throttled("SES asks to slow down: the account's sending rate is reached.").with_retry_after(wait)
}

/// In the SES sandbox every address must be verified, and the text lists those that are not. Our own is a setting; the recipient's is
/// the request's fault.
fn rejected(text: &str, who: Correspondents<'_>) -> Failure {
    if !text.to_ascii_lowercase().contains("not verified") {
        return bury("SES rejects this mail because of its content.");
    }
    let names = |address: &str| {
        let address = address.to_ascii_lowercase();
        text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '<' | '>' | '"' | '\'' | '(' | ')'))
            .map(|word| word.trim_end_matches('.').to_ascii_lowercase())
            // An identity's ARN ends in /address.
            .any(|word| word == address || word.strip_suffix(address.as_str()).is_some_and(|rest| rest.ends_with(":identity/")))
    };
    let domain = who.sender.rsplit_once('@').map_or("", |(_, domain)| domain);
    if names(who.sender) || names(domain) || !names(who.recipient) {
        hold(
            "SES does not know the sender as verified in this region: verify the identity of EXPORTBOX_MAIL_FROM, or set the right AWS_REGION.",
        )
    } else {
        bury("The SES account is in the sandbox and this recipient is not verified: ask AWS for production access, or verify the address.")
    }
}
