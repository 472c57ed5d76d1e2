//! What differs on the wire between the two stand-ins: how a request names its operation, and what an error looks like.

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::http::request::Parts;
use hyper::{Method, Response};
use percent_encoding::percent_decode_str;
use serde_json::json;

/// Which service a stand-in speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// S3: operations by method, path and query; errors in XML.
    S3,
    /// SES v2: operations by method and path; errors in a header and JSON.
    Ses,
}

impl Wire {
    /// The API's name of what is asked for.
    pub(super) fn operation(self, parts: &Parts) -> &'static str {
        match self {
            Wire::S3 => s3_operation(parts),
            Wire::Ses => ses_operation(parts),
        }
    }

    /// What `key_contains` of a rule is compared with, and the request made whole again.
    pub(super) async fn key(self, parts: &Parts, body: Body) -> Result<(String, Body), axum::Error> {
        let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
        match self {
            Wire::S3 => Ok((path.trim_start_matches('/').split_once('/').map(|(_, key)| key.to_owned()).unwrap_or_default(), body)),
            Wire::Ses => {
                let bytes = body.collect().await?.to_bytes();
                let request: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let lists = ["ToAddresses", "CcAddresses", "BccAddresses"].map(|list| request["Destination"][list].as_array().cloned());
                let addresses = lists.into_iter().flatten().flatten().filter_map(|address| address.as_str().map(str::to_owned));
                let key = std::iter::once(path).chain(addresses).collect::<Vec<_>>().join(" ");
                Ok((key, Body::from(bytes)))
            }
        }
    }

    /// The provider's error as its SDK expects it.
    pub(super) fn error(self, status: u16, code: &str, message: &str) -> Response<Body> {
        let response = Response::builder().status(status);
        let response = match self {
            Wire::S3 => response
                .header("content-type", "application/xml")
                .header("x-amz-request-id", "SANDBOX")
                .body(Body::from(s3_error_document(code, message))),
            Wire::Ses => response
                .header("content-type", "application/json")
                .header("x-amzn-errortype", code)
                .header("x-amzn-requestid", "sandbox")
                .body(Body::from(json!({ "message": message }).to_string())),
        };
        response.unwrap_or_else(|_| Response::new(Body::from("the scripted status or code cannot be sent")))
    }
}

/// The XML of an S3 error, as body of an error reply or inside a 200.
pub(super) fn s3_error_document(code: &str, message: &str) -> String {
    let (code, message) = (escape_xml(code), escape_xml(message));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>SANDBOX</RequestId></Error>"
    )
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn s3_operation(parts: &Parts) -> &'static str {
    let names: Vec<&str> =
        parts.uri.query().unwrap_or_default().split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name)).collect();
    let has = |name: &str| names.contains(&name);
    let path = parts.uri.path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let method = &parts.method;
    if bucket.is_empty() {
        return if method == Method::GET { "ListBuckets" } else { "Unknown" };
    }
    if key.is_empty() {
        return match *method {
            Method::PUT if names == [""] => "CreateBucket",
            Method::HEAD => "HeadBucket",
            Method::DELETE if names == [""] => "DeleteBucket",
            Method::POST if has("delete") => "DeleteObjects",
            Method::GET if has("uploads") => "ListMultipartUploads",
            Method::GET if has("list-type") => "ListObjectsV2",
            Method::GET if has("location") => "GetBucketLocation",
            Method::GET if has("lifecycle") => "GetBucketLifecycleConfiguration",
            Method::GET if has("encryption") => "GetBucketEncryption",
            Method::GET => "ListObjects",
            _ => "Unknown",
        };
    }
    match *method {
        Method::GET if has("uploadId") => "ListParts",
        Method::GET => "GetObject",
        Method::HEAD => "HeadObject",
        Method::PUT if has("partNumber") => "UploadPart",
        Method::PUT if parts.headers.contains_key("x-amz-copy-source") => "CopyObject",
        Method::PUT => "PutObject",
        Method::POST if has("uploads") => "CreateMultipartUpload",
        Method::POST if has("uploadId") => "CompleteMultipartUpload",
        Method::DELETE if has("uploadId") => "AbortMultipartUpload",
        Method::DELETE => "DeleteObject",
        _ => "Unknown",
    }
}

fn ses_operation(parts: &Parts) -> &'static str {
    let path = parts.uri.path().trim_end_matches('/');
    let Some(path) = path.strip_prefix("/v2/email/") else { return "Unknown" };
    match (&parts.method, path) {
        (&Method::POST, "outbound-emails") => "SendEmail",
        (&Method::GET, "account") => "GetAccount",
        (&Method::GET, "suppression/addresses") => "ListSuppressedDestinations",
        (&Method::PUT, "suppression/addresses") => "PutSuppressedDestination",
        (&Method::GET, path) if path.starts_with("suppression/addresses/") => "GetSuppressedDestination",
        (&Method::DELETE, path) if path.starts_with("suppression/addresses/") => "DeleteSuppressedDestination",
        (&Method::GET, path) if path.starts_with("identities/") => "GetEmailIdentity",
        _ => "Unknown",
    }
}
