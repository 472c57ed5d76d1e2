//! The calls of the SES stand-in beside sending: account, identities, suppression, and the pages for people.

use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post, put};
use chrono::{NaiveDateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::ses::{Account, Desk, Suppressed};
use super::ses_send;
use super::wire::Wire;

/// How a signature writes its time.
const AMZ_DATE: &str = "%Y%m%dT%H%M%SZ";
/// The largest request in bytes: a mail of 40 MB in base64, and its wrapping.
const LARGEST_REQUEST: usize = 64 * 1024 * 1024;

/// An error in AWS's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Refused {
        Refused { status, code, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Refused {
        Refused::new(400, "BadRequestException", message)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        Wire::Ses.error(self.status, self.code, &self.message)
    }
}

/// A reply in JSON.
type Reply = Result<axum::Json<Value>, Refused>;

/// All routes.
pub(super) fn router(desk: Desk) -> anyhow::Result<Router> {
    let mut pages = minijinja::Environment::new();
    pages.add_template("mails.html", include_str!("mails.html")).context("read the template of the mail list")?;
    let pages = Arc::new(pages);
    let calls = Router::new()
        .route("/v2/email/outbound-emails", post(ses_send::send))
        .route("/v2/email/account", get(account))
        .route("/v2/email/identities/{identity}", get(identity))
        .route("/v2/email/suppression/addresses", put(put_suppressed).get(list_suppressed))
        .route("/v2/email/suppression/addresses/{address}", get(get_suppressed).delete(delete_suppressed))
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .route_layer(middleware::from_fn_with_state(desk.clone(), signed));
    Ok(calls
        .route("/_sandbox/mails", get(list_mails))
        .route("/_sandbox/mails/{id}", get(mail))
        .route("/", get(move |state: State<Desk>| async move { page(&pages, &state) }))
        .fallback(async || Refused::new(404, "UnknownOperationException", "The sandbox does not answer this call."))
        .with_state(desk))
}

/// How far a caller's clock may be off.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// Signatures are not checked, but an unsigned call, a foreign key or one signed at another time is refused as AWS does.
async fn signed(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((_, credential)) = authorization.split_once("Credential=") else {
        return Refused::new(403, "MissingAuthenticationTokenException", "Missing Authentication Token").into_response();
    };
    let key = credential.split('/').next().unwrap_or_default();
    if desk.options.access_key.as_ref().is_some_and(|known| known != key) {
        let message = "The security token included in the request is invalid.";
        return Refused::new(403, "UnrecognizedClientException", message).into_response();
    }
    let signed_at = request.headers().get("x-amz-date").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Ok(at) = NaiveDateTime::parse_from_str(signed_at, AMZ_DATE) {
        let (now, off) = (Utc::now(), at.and_utc() - Utc::now());
        let (what, than) = if off < TimeDelta::zero() { ("expired", "now earlier") } else { ("not yet current", "still later") };
        if off.abs() > CLOCK_TOLERANCE {
            let message = format!("Signature {what}: {signed_at} is {than} than {} (5 min.)", now.format(AMZ_DATE));
            return Refused::new(403, "InvalidSignatureException", message).into_response();
        }
    }
    next.run(request).await
}

async fn account(State(desk): State<Desk>) -> Reply {
    let account = desk.account();
    Ok(axum::Json(json!({
        "DedicatedIpAutoWarmupEnabled": false,
        "EnforcementStatus": "HEALTHY",
        "ProductionAccessEnabled": desk.options.production_access,
        "SendingEnabled": account.sending_enabled,
        "SendQuota": {
            "Max24HourSend": account.max_24_hour_send,
            "MaxSendRate": desk.options.max_send_rate,
            "SentLast24Hours": account.sent as f64,
        },
        "SuppressionAttributes": { "SuppressedReasons": ["BOUNCE", "COMPLAINT"] },
    })))
}

async fn identity(State(desk): State<Desk>, Path(identity): Path<String>) -> Reply {
    // With a list, an identity is what is on it: an address of a verified domain is no identity of its own.
    let known = desk.options.verified.as_ref().is_none_or(|verified| verified.iter().any(|known| known.eq_ignore_ascii_case(&identity)));
    if !known {
        return Err(Refused::new(404, "NotFoundException", format!("Email identity {identity} does not exist.")));
    }
    Ok(axum::Json(json!({
        "IdentityType": if identity.contains('@') { "EMAIL_ADDRESS" } else { "DOMAIN" },
        "FeedbackForwardingStatus": true,
        "VerifiedForSendingStatus": true,
        "VerificationStatus": "SUCCESS",
    })))
}

/// Puts an address on the list, or changes its reason.
pub(super) fn suppress(account: &mut Account, address: &str, reason: &str) {
    account.suppressed.retain(|entry| entry.address != address);
    account.suppressed.push(Suppressed { address: address.into(), reason: reason.into(), since: Utc::now() });
}

fn suppressed_json(entry: &Suppressed) -> Value {
    json!({ "EmailAddress": entry.address, "Reason": entry.reason, "LastUpdateTime": entry.since.timestamp_millis() as f64 / 1000.0 })
}

fn not_suppressed(address: &str) -> Refused {
    Refused::new(404, "NotFoundException", format!("Email address {address} does not exist on your suppression list."))
}

async fn put_suppressed(State(desk): State<Desk>, axum::Json(request): axum::Json<Value>) -> Reply {
    let address = request["EmailAddress"].as_str().ok_or_else(|| Refused::bad_request("Missing EmailAddress"))?;
    let reason = request["Reason"].as_str().filter(|reason| ["BOUNCE", "COMPLAINT"].contains(reason));
    suppress(&mut desk.account(), address, reason.ok_or_else(|| Refused::bad_request("Reason must be BOUNCE or COMPLAINT"))?);
    Ok(axum::Json(json!({})))
}

async fn get_suppressed(State(desk): State<Desk>, Path(address): Path<String>) -> Reply {
    // Case counts here, as it does at AWS.
    let account = desk.account();
    let entry = account.suppressed.iter().find(|entry| entry.address == address).ok_or_else(|| not_suppressed(&address))?;
    Ok(axum::Json(json!({ "SuppressedDestination": suppressed_json(entry) })))
}

async fn delete_suppressed(State(desk): State<Desk>, Path(address): Path<String>) -> Reply {
    let mut account = desk.account();
    let before = account.suppressed.len();
    account.suppressed.retain(|entry| entry.address != address);
    if account.suppressed.len() == before { Err(not_suppressed(&address)) } else { Ok(axum::Json(json!({}))) }
}

async fn list_suppressed(State(desk): State<Desk>) -> Reply {
    let entries: Vec<Value> = desk.account().suppressed.iter().map(suppressed_json).collect();
    Ok(axum::Json(json!({ "SuppressedDestinationSummaries": entries })))
}

async fn list_mails(State(desk): State<Desk>) -> Response {
    axum::Json(desk.mailbox.mails()).into_response()
}

async fn mail(State(desk): State<Desk>, Path(id): Path<String>) -> Response {
    match desk.mailbox.find(&id) {
        // Plain text, so that a browser shows it and runs nothing of it.
        Some(mail) => {
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], mail.raw).into_response()
        }
        None => (StatusCode::NOT_FOUND, "no such mail\n").into_response(),
    }
}

/// The list for people. The template's name ends in .html, so everything in it is escaped.
fn page(pages: &minijinja::Environment<'_>, desk: &Desk) -> Response {
    let mut mails = desk.mailbox.mails();
    mails.reverse();
    match pages.get_template("mails.html").and_then(|page| page.render(minijinja::context! { mails => minijinja::value::Serde(&mails) })) {
        Ok(page) => Html(page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
