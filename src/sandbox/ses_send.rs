//! `SendEmail` of the SES stand-in: the checks in the order in which AWS is known to fail, then the mail as SES would send it.

use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::mailbox::{StoredMail, field, split_header};
use super::ses::Desk;
use super::ses_calls::Refused;

/// Recipients of one call.
const MOST_RECIPIENTS: usize = 50;
/// Bytes of one mail.
const LARGEST_MAIL: usize = 40 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SendEmail {
    from_email_address: Option<String>,
    #[serde(default)]
    destination: Destination,
    #[serde(default)]
    reply_to_addresses: Vec<String>,
    content: Content,
    #[serde(default)]
    email_tags: Vec<Tag>,
    configuration_set_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Destination {
    to_addresses: Vec<String>,
    cc_addresses: Vec<String>,
    bcc_addresses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    raw: Option<Raw>,
    simple: Option<Simple>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Simple {
    subject: Text,
    body: SimpleBody,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SimpleBody {
    text: Option<Text>,
    html: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Text {
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    name: String,
    value: String,
}

/// Accepts a mail, or says why not.
pub(super) async fn send(State(desk): State<Desk>, body: bytes::Bytes) -> Result<axum::Json<Value>, Refused> {
    let call: SendEmail = serde_json::from_slice(&body).map_err(|error| Refused::new(400, "SerializationException", error.to_string()))?;
    check_account(&desk, &call)?;
    let raw = match (&call.content.raw, &call.content.simple) {
        (Some(raw), None) => BASE64.decode(&raw.data).map_err(|_| Refused::bad_request("Content.Raw.Data is not base64"))?,
        (None, Some(simple)) => render(&call, simple),
        _ => return Err(Refused::bad_request("Exactly one of Raw, Simple and Template is needed; the sandbox knows no templates.")),
    };
    if raw.len() > LARGEST_MAIL {
        return Err(Refused::bad_request(format!("Message length is more than {LARGEST_MAIL} bytes long: '{}'.", raw.len())));
    }
    let (fields, rest) = split_header(&raw);
    for name in ["From", "To", "Cc", "Subject", "Reply-To", "Content-Type", "MIME-Version"] {
        if fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).count() > 1 {
            return Err(Refused::bad_request(format!("Duplicate header '{name}'.")));
        }
    }
    let from = call.from_email_address.clone().or_else(|| field(&fields, "From"));
    let from = from.ok_or_else(|| Refused::bad_request("Missing required header 'From'."))?;
    let recipients = recipients(&call, &fields)?;
    check_identities(&desk, &from, &recipients)?;

    let id = message_id();
    let mut account = desk.account();
    let sent = account.sent + recipients.len() as u64;
    if account.max_24_hour_send >= 0.0 && sent as f64 > account.max_24_hour_send {
        return Err(Refused::new(400, "ThrottlingException", "Daily message quota exceeded."));
    }
    account.sent = sent;
    let suppressed = |to: &&String| account.suppressed.iter().any(|entry| entry.address.eq_ignore_ascii_case(to));
    let mail = StoredMail {
        id: id.clone(),
        from,
        subject: field(&fields, "Subject").unwrap_or_default(),
        tags: call.email_tags.into_iter().map(|tag| (tag.name, tag.value)).collect(),
        configuration_set: call.configuration_set_name,
        at: Utc::now(),
        path: Default::default(),
        suppressed: recipients.iter().filter(suppressed).cloned().collect(),
        raw: stamp(&desk.options.region, &id, fields, &rest),
        to: recipients,
    };
    drop(account);
    desk.mailbox.store(mail).map_err(|error| Refused::new(500, "InternalServiceErrorException", error.to_string()))?;
    Ok(axum::Json(json!({ "MessageId": id })))
}

fn check_account(desk: &Desk, call: &SendEmail) -> Result<(), Refused> {
    if let Some(set) = &call.configuration_set_name
        && desk.options.configuration_sets.as_ref().is_some_and(|known| !known.contains(set))
    {
        return Err(Refused::new(404, "NotFoundException", format!("Configuration set <{set}> does not exist.")));
    }
    if !desk.account().sending_enabled {
        return Err(Refused::new(400, "SendingPausedException", "Email sending is paused for your account."));
    }
    let plain = |text: &str| {
        (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    for tag in &call.email_tags {
        let which = if plain(&tag.name) { "value" } else { "name" };
        if !plain(&tag.name) || !plain(&tag.value) {
            let text = if which == "name" { &tag.name } else { &tag.value };
            return Err(Refused::bad_request(format!(
                "Invalid tag {which} <{text}>: only alphanumeric ASCII characters, '_', and '-' are allowed."
            )));
        }
    }
    Ok(())
}

/// All recipients as bare addresses.
fn recipients(call: &SendEmail, fields: &[(String, String)]) -> Result<Vec<String>, Refused> {
    let named = &call.destination;
    let mut all: Vec<String> = [&named.to_addresses, &named.cc_addresses, &named.bcc_addresses].into_iter().flatten().cloned().collect();
    if all.is_empty() && call.content.raw.is_some() {
        // Without a destination SES reads a raw mail's own fields.
        let found = ["To", "Cc", "Bcc"].into_iter().filter_map(|name| field(fields, name));
        all = found.flat_map(|list| list.split(',').map(|one| one.trim().to_owned()).collect::<Vec<_>>()).collect();
    }
    if all.is_empty() {
        return Err(Refused::bad_request("Missing required header 'To'."));
    }
    if all.len() > MOST_RECIPIENTS {
        return Err(Refused::bad_request(format!("Recipient count exceeds {MOST_RECIPIENTS}.")));
    }
    all.iter().map(|one| check_address(one)).collect()
}

/// The bare address of `Name <address>`, when SES would take it: no SMTPUTF8, domains in Punycode.
fn check_address(text: &str) -> Result<String, Refused> {
    let bare = bare_address(text);
    let Some((local, domain)) = bare.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty()) else {
        return Err(Refused::bad_request("Missing final '@domain'"));
    };
    if local.contains('@') || !local.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refused::bad_request("Local address contains control or whitespace or non-ASCII character"));
    }
    if !domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.') {
        return Err(Refused::bad_request("Domain contains illegal character"));
    }
    if domain.starts_with('.') || domain.ends_with('.') || domain.contains("..") {
        return Err(Refused::bad_request("Domain contains dot-dot or starts or ends with dot"));
    }
    Ok(bare.to_owned())
}

fn bare_address(text: &str) -> &str {
    text.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(text.trim(), |(address, _)| address.trim())
}

fn check_identities(desk: &Desk, from: &str, recipients: &[String]) -> Result<(), Refused> {
    let sender = check_address(from)?;
    let to: &[String] = if desk.options.production_access { &[] } else { recipients };
    let failed: Vec<&str> = std::iter::once(&sender).chain(to).filter(|address| !desk.verified(address)).map(String::as_str).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Refused::new(
        400,
        "MessageRejected",
        format!(
            "Email address is not verified. The following identities failed the check in region {}: {}",
            desk.options.region.to_uppercase(),
            failed.join(", ")
        ),
    ))
}

/// As SES makes them: the region's number and the time in hexadecimal, a UUID, a counter.
fn message_id() -> String {
    format!("0102{:012x}-{}-000000", Utc::now().timestamp_millis(), Uuid::new_v4())
}

/// SES writes Message-ID and Date itself, whatever was sent, and never shows Bcc.
fn stamp(region: &str, id: &str, fields: Vec<(String, String)>, rest: &[u8]) -> Vec<u8> {
    let host = if region == "us-east-1" { "email" } else { region };
    let mut raw = Vec::new();
    for (name, value) in fields {
        if !["message-id", "date", "bcc", "return-path"].contains(&name.to_ascii_lowercase().as_str()) {
            raw.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
    }
    raw.extend_from_slice(format!("Message-ID: <{id}@{host}.amazonses.com>\r\nDate: {}\r\n\r\n", Utc::now().to_rfc2822()).as_bytes());
    raw.extend_from_slice(rest);
    raw
}

/// A mail for simple content: text, HTML, or both as alternatives.
fn render(call: &SendEmail, simple: &Simple) -> Vec<u8> {
    let one_line = |text: &str| text.replace(['\r', '\n'], " ");
    let mut mail = format!("From: {}\r\n", one_line(call.from_email_address.as_deref().unwrap_or_default()));
    for (name, list) in
        [("To", &call.destination.to_addresses), ("Cc", &call.destination.cc_addresses), ("Reply-To", &call.reply_to_addresses)]
    {
        if !list.is_empty() {
            mail += &format!("{name}: {}\r\n", one_line(&list.join(", ")));
        }
    }
    mail += &format!("Subject: =?utf-8?B?{}?=\r\nMIME-Version: 1.0\r\n", BASE64.encode(&simple.subject.data));
    let part = |kind: &str, text: &Text| {
        let lines: Vec<String> =
            BASE64.encode(&text.data).as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        format!("Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n", lines.join("\r\n"))
    };
    match (&simple.body.text, &simple.body.html) {
        (Some(text), Some(html)) => {
            let boundary = Uuid::new_v4().simple().to_string();
            mail += &format!("Content-Type: multipart/alternative; boundary=\"{boundary}\"\r\n\r\n");
            mail += &format!("--{boundary}\r\n{}--{boundary}\r\n{}--{boundary}--\r\n", part("plain", text), part("html", html));
        }
        (Some(text), None) => mail += &part("plain", text),
        (None, Some(html)) => mail += &part("html", html),
        (None, None) => mail += "\r\n",
    }
    mail.into_bytes()
}
