//! One translation of what the store's SDK reports into a [`Failure`]. Above this file nobody reads an AWS code or an HTTP status.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::job::{Failure, FailureClass, Verdict};

use FailureClass::{Internal, StoreAccess, StoreConfig, StoreThrottled, StoreUnavailable, TooLarge, Verification};
use Verdict::{Bury, Hold, Postpone, Retry};

type Ruling = (FailureClass, Verdict, &'static str);

const NO_BUCKET: Ruling = (StoreConfig, Hold, "The bucket does not exist: check EXPORTBOX_BUCKET and the account of the credentials.");
const WRONG_REGION: Ruling = (StoreConfig, Hold, "The bucket lies in another region: set AWS_REGION to the bucket's own region.");
const NO_REGION: Ruling =
    (StoreConfig, Hold, "The store's address is not known: set AWS_REGION, or AWS_ENDPOINT_URL_S3 for another store than AWS.");
const DENIED: Ruling = (
    StoreAccess,
    Hold,
    "The store denies access: the daemon needs s3:PutObject, s3:GetObject, s3:DeleteObject and s3:AbortMultipartUpload on the prefix, \
     s3:ListBucket and s3:ListBucketMultipartUploads on the bucket.",
);
const KEY_DENIED: Ruling = (
    StoreAccess,
    Hold,
    "The bucket's encryption key cannot be used: the daemon needs kms:GenerateDataKey and kms:Decrypt on it, and it must be enabled.",
);
const BAD_CREDENTIALS: Ruling = (
    StoreAccess,
    Hold,
    "The store does not accept the credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile or the role.",
);
const OLD_CREDENTIALS: Ruling =
    (StoreAccess, Hold, "The credentials for the store have expired: renew the session, or let the daemon take them from a role.");
const NO_CREDENTIALS: Ruling = (
    StoreAccess,
    Hold,
    "No credentials for the store were found: give the daemon a role, a profile or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
);
// One machine with a wrong clock must not put the work of all others on hold.
const CLOCK: Ruling = (
    StoreAccess,
    Postpone,
    "The clock of the daemon's machine is more than 15 minutes off the store's: synchronise it, for example with chrony.",
);
const SLOW_DOWN: Ruling = (StoreThrottled, Retry, "The store asks to slow down.");
const AWAY: Ruling = (StoreUnavailable, Retry, "The store failed to answer: it is away, slow or has a fault of its own.");
const NOT_REACHED: Ruling =
    (StoreUnavailable, Retry, "The store was not reached: if this lasts, check the network, the proxy and AWS_ENDPOINT_URL_S3.");
const TOO_SLOW: Ruling = (StoreUnavailable, Retry, "The store did not answer in time.");
const TOO_BIG: Ruling = (TooLarge, Bury, "The file is larger than the store allows: export less, or split the export.");
const DAMAGED: Ruling = (Verification, Retry, "The store received something else than was sent: the upload starts again.");
const UPLOAD_GONE: Ruling = (
    Verification,
    Retry,
    "The multipart upload is gone before it was complete: if this lasts, check the bucket's lifecycle rule for unfinished uploads.",
);
const TAKEN: Ruling =
    (Verification, Retry, "The key already holds another object, or is being written by someone else: a new key is used.");
const UNSUPPORTED: Ruling = (
    StoreConfig,
    Hold,
    "The store does not know a header or call that it was sent: set AWS_REQUEST_CHECKSUM_CALCULATION=when_required for stores that reject checksums.",
);
const FULL: Ruling = (StoreUnavailable, Retry, "The store is full or over its quota: free space, or raise the quota.");
const REFUSED: Ruling = (Internal, Retry, "The store refused a request of the daemon: the detail has its code.");
const UNSENT: Ruling = (Internal, Retry, "A request to the store could not be built: the detail says why.");

/// What a failed call means for the job.
pub(super) fn failure<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = status(error);
    let (class, verdict, sentence) = match error {
        SdkError::ServiceError(service) => {
            let (code, message) = (service.err().code().unwrap_or_default(), service.err().message().unwrap_or_default());
            by_code(code, message).unwrap_or_else(|| by_status(status.unwrap_or_default()))
        }
        SdkError::ResponseError(_) => by_status(status.unwrap_or_default()),
        SdkError::TimeoutError(_) => TOO_SLOW,
        SdkError::DispatchFailure(dispatch) if dispatch.is_timeout() => TOO_SLOW,
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => by_source(error),
        // The SDK's enum may grow.
        _ => AWAY,
    };
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    Failure::new(class, verdict, sentence).with_detail(detail(error)).with_code(code).with_retry_after(retry_after(error))
}

/// Whether the store says that there is no such object, bucket or upload. The answer to a HEAD has no code, only a status.
pub(super) fn is_absent<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    match code {
        Some("NoSuchBucket") => false,
        Some("NoSuchUpload" | "NoSuchKey" | "NotFound") => true,
        _ => status(error) == Some(404),
    }
}

/// Whether the store does not offer this call at all. AWS offers all of them, some other stores do not.
pub(super) fn is_unsupported<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    matches!(code, Some("NotImplemented" | "MethodNotAllowed")) || matches!(status(error), Some(405 | 501))
}

/// No credentials could be had.
pub(super) fn credentials(error: &CredentialsError) -> Failure {
    let (class, verdict, sentence) = NO_CREDENTIALS;
    Failure::new(class, verdict, sentence).with_detail(chain(error))
}

/// There is no provider of credentials at all.
pub(super) fn no_credentials() -> Failure {
    let (class, verdict, sentence) = NO_CREDENTIALS;
    Failure::new(class, verdict, sentence)
}

/// What is stored is not what was sent.
pub(super) fn damaged(detail: impl std::fmt::Display) -> Failure {
    let (class, verdict, sentence) = DAMAGED;
    Failure::new(class, verdict, sentence).with_detail(detail)
}

/// By AWS's code, which other stores borrow. `None`: not known, the status decides.
fn by_code(code: &str, message: &str) -> Option<Ruling> {
    Some(match code {
        "NoSuchBucket" | "InvalidBucketName" => NO_BUCKET,
        "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => WRONG_REGION,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "UnauthorizedAccess" | "Forbidden" => {
            if message.contains("kms:") || message.contains("KMS") { KEY_DENIED } else { DENIED }
        }
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidSecurity" | "NotSignedUp" => BAD_CREDENTIALS,
        "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired" => OLD_CREDENTIALS,
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => CLOCK,
        "SlowDown"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequests"
        | "RequestThrottled"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "KMS.ThrottlingException" => SLOW_DOWN,
        "InternalError" | "InternalServerError" | "InternalFailure" | "RequestTimeout" | "RequestTimeoutException" | "OperationAborted" => {
            AWAY
        }
        "EntityTooLarge" | "MaxMessageLengthExceeded" => TOO_BIG,
        "InvalidDigest"
        | "BadDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch"
        | "IncompleteBody"
        | "InvalidPart"
        | "InvalidPartOrder"
        | "EntityTooSmall"
        | "NoSuchKey" => DAMAGED,
        "NoSuchUpload" => UPLOAD_GONE,
        "PreconditionFailed" | "ConditionalRequestConflict" => TAKEN,
        "NotImplemented" => UNSUPPORTED,
        "QuotaExceeded" | "XMinioStorageFull" | "InsufficientCapacity" => FULL,
        // "Checksum Type mismatch occurred, expected checksum Type: null": what older stores say to a checksum.
        "InvalidRequest" | "InvalidArgument" if message.to_ascii_lowercase().contains("checksum") => UNSUPPORTED,
        _ if code.starts_with("KMS.") => KEY_DENIED,
        _ => return None,
    })
}

/// By HTTP status, for answers without a code: those to a HEAD, and those of proxies.
fn by_status(status: u16) -> Ruling {
    match status {
        301 | 307 | 308 => WRONG_REGION,
        // A HEAD with an expired or malformed token is a bare 400.
        400 | 401 => BAD_CREDENTIALS,
        403 => DENIED,
        404 => NO_BUCKET,
        408 => TOO_SLOW,
        409 | 412 => TAKEN,
        413 => TOO_BIG,
        429 | 503 => SLOW_DOWN,
        405 | 501 => UNSUPPORTED,
        507 => FULL,
        402..=499 => REFUSED,
        _ => AWAY,
    }
}

/// A request that was never answered: for want of credentials, of an address, or of a network.
fn by_source<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> Ruling {
    let mut io = matches!(error, SdkError::DispatchFailure(dispatch) if dispatch.is_io());
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<CredentialsError>() {
            return NO_CREDENTIALS;
        }
        let text = cause.to_string();
        if text.contains("region must be set") || text.contains("Missing Region") {
            return NO_REGION;
        }
        if text.contains("credential") || text.contains("identity") {
            return NO_CREDENTIALS;
        }
        io |= cause.is::<std::io::Error>();
        source = cause.source();
    }
    match error {
        SdkError::ConstructionFailure(_) if !io => UNSENT,
        _ => NOT_REACHED,
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// How long the store asks us to wait, in seconds. No store that we know of gives a date instead.
fn retry_after<E>(error: &SdkError<E, HttpResponse>) -> Option<Duration> {
    let seconds: u64 = error.raw_response()?.headers().get("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(3600)))
}

/// The raw text for operators: code, message, status and request id of an answer, or the chain of causes.
fn detail<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E, HttpResponse>) -> String {
    let answer = error.raw_response().map(|response| {
        let id = response.request_id().unwrap_or("none");
        format!(" (HTTP {}, request id {id})", response.status().as_u16())
    });
    let what = match error.as_service_error() {
        Some(service) => {
            format!("{}: {}", service.code().unwrap_or("no code"), service.message().unwrap_or("no message"))
        }
        None => chain(error),
    };
    format!("{what}{}", answer.unwrap_or_default())
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_of_the_store_has_its_class_and_verdict() {
        let cases: &[(&str, &str, FailureClass, Verdict)] = &[
            ("NoSuchBucket", "", StoreConfig, Hold),
            ("PermanentRedirect", "", StoreConfig, Hold),
            ("AccessDenied", "Access Denied", StoreAccess, Hold),
            ("InvalidAccessKeyId", "", StoreAccess, Hold),
            ("SignatureDoesNotMatch", "", StoreAccess, Hold),
            ("ExpiredToken", "", StoreAccess, Hold),
            ("KMS.DisabledException", "", StoreAccess, Hold),
            ("KMS.ThrottlingException", "", StoreThrottled, Retry),
            ("RequestTimeTooSkewed", "", StoreAccess, Postpone),
            ("SlowDown", "", StoreThrottled, Retry),
            ("InternalError", "", StoreUnavailable, Retry),
            ("EntityTooLarge", "", TooLarge, Bury),
            ("BadDigest", "", Verification, Retry),
            ("ConditionalRequestConflict", "", Verification, Retry),
            ("PreconditionFailed", "", Verification, Retry),
            ("NoSuchUpload", "", Verification, Retry),
            ("NotImplemented", "Header 'x-amz-checksum-crc32'", StoreConfig, Hold),
            ("InvalidRequest", "Checksum Type mismatch occurred", StoreConfig, Hold),
        ];
        for (code, message, class, verdict) in cases {
            let (is_class, is_verdict, _) = by_code(code, message).expect(code);
            assert_eq!((is_class, is_verdict), (*class, *verdict), "{code}");
        }
        assert!(by_code("InvalidRequest", "something else").is_none(), "the status decides");
    }

    #[test]
    fn sentences_name_the_setting_to_check() {
        assert!(by_code("RequestTimeTooSkewed", "").expect("known").2.contains("clock"));
        assert!(by_code("NoSuchBucket", "").expect("known").2.contains("EXPORTBOX_BUCKET"));
        assert!(by_code("PermanentRedirect", "").expect("known").2.contains("AWS_REGION"));
        let no_key = by_code("AccessDenied", "not authorized to perform: kms:GenerateDataKey").expect("known");
        assert!(no_key.2.contains("kms:GenerateDataKey"));
    }

    #[test]
    fn an_answer_without_a_code_is_judged_by_its_status() {
        let verdicts =
            [(301, Hold), (400, Hold), (403, Hold), (404, Hold), (412, Retry), (413, Bury), (500, Retry), (503, Retry), (418, Retry)];
        for (status, verdict) in verdicts {
            assert_eq!(by_status(status).1, verdict, "{status}");
        }
        assert_eq!(by_status(503).0, StoreThrottled);
        assert_eq!(by_status(500).0, StoreUnavailable);
        assert_eq!(by_status(418).0, Internal);
    }
}
