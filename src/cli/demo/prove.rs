//! Follows every link, and compares every download with what COPY gives now. The demo changes no data after its requests, so both are the same.

use std::collections::HashMap;
use std::io::Read;

use anyhow::Context;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use mail_parser::MessageParser;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_postgres::SimpleQueryMessage;

use super::story::{Expect, Request, Shop, connect};
use super::{Claims, printable};
use crate::sandbox::Sandbox;

/// A mail as its recipient reads it.
pub(super) struct Mail {
    to: String,
    subject: String,
    path: String,
    export_id: String,
    link: Option<String>,
}

impl Mail {
    pub(super) fn to_json(&self) -> Value {
        // Without the link: a summary may end up in a log.
        json!({"to": self.to, "subject": self.subject, "path": self.path, "export": self.export_id})
    }
}

/// Read every mail back from its .eml with an independent parser.
pub(super) async fn mails(claims: &mut Claims, sandbox: &Sandbox, shop: &Shop<'_>, requests: &[Request]) -> anyhow::Result<Vec<Mail>> {
    let mut mails = Vec::new();
    for stored in sandbox.ses.mails() {
        let parsed = MessageParser::default().parse(&stored.raw).context("parse a mail")?;
        let text = parsed.body_text(0).unwrap_or_default();
        let link = text.split_whitespace().find(|word| word.contains("X-Amz-Signature=")).map(ToString::to_string);
        mails.push(Mail {
            to: stored.to.join(", "),
            subject: parsed.subject().unwrap_or_default().to_string(),
            path: stored.path.display().to_string(),
            export_id: parsed.header("X-Exportbox-Export").and_then(|header| header.as_text()).unwrap_or_default().trim().to_string(),
            link,
        });
    }
    mails.sort_by(|one, other| (&one.export_id, &one.to).cmp(&(&other.export_id, &other.to)));
    for mail in &mails {
        claims.say(&format!("  to {:<28} {:<40} {}", mail.to, printable(&mail.subject), mail.path));
    }
    let wanted: usize = requests.iter().map(|request| request.mails).sum();
    claims.check(format!("{wanted} recipients, {} mails", mails.len()), mails.len() == wanted);
    let mut by_export: HashMap<&str, usize> = HashMap::new();
    for mail in &mails {
        *by_export.entry(&mail.export_id).or_default() += 1;
    }
    let right = requests.iter().all(|request| by_export.get(request.id.to_string().as_str()).copied().unwrap_or(0) == request.mails);
    claims.check(format!("every recipient of {} got exactly one, nobody else any", shop.database), right);
    Ok(mails)
}

/// GET every link and compare.
pub(super) async fn downloads(claims: &mut Claims, shop: &Shop<'_>, requests: &[Request], mails: &[Mail]) -> anyhow::Result<()> {
    let (mut same, mut total) = (0, 0);
    for request in requests.iter().filter(|request| matches!(request.expect, Expect::Completed)) {
        let expected = copy(shop, request).await?;
        for mail in mails.iter().filter(|mail| mail.export_id == request.id.to_string()) {
            total += 1;
            let download = get(mail.link.as_deref().unwrap_or_default()).await;
            let matches = download.as_ref().is_ok_and(|bytes| digest(bytes, request.gzip).is_ok_and(|found| found == expected));
            same += usize::from(matches);
            if !matches {
                let why = download.err().map_or("other bytes".to_string(), |error| format!("{error:#}"));
                claims.check(format!("{}: the link to {} gives the bytes of COPY ({why})", request.label, mail.to), false);
            } else if request.customer.is_none() {
                claims.check(
                    format!("{}: the link to {} gives the bytes of COPY, sha256 {}…", request.label, mail.to, &expected[..12]),
                    true,
                );
            }
        }
    }
    claims.check(format!("{same} of {total} downloads equal what COPY gives, byte for byte"), same == total && total > 0);
    Ok(())
}

async fn get(link: &str) -> anyhow::Result<Bytes> {
    let http = HttpClient::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = http.get(link.parse().context("no usable link in the mail")?).await.context("follow the link")?;
    anyhow::ensure!(answer.status().is_success(), "the link answers {}", answer.status());
    Ok(answer.into_body().collect().await.context("download")?.to_bytes())
}

fn digest(bytes: &[u8], gzip: bool) -> anyhow::Result<String> {
    let mut sha = Sha256::new();
    if gzip {
        let mut plain = flate2::read::MultiGzDecoder::new(bytes);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match plain.read(&mut buffer)? {
                0 => break,
                read => sha.update(&buffer[..read]),
            }
        }
    } else {
        sha.update(bytes);
    }
    Ok(hex(&sha.finalize()))
}

/// What the requester's own COPY gives. JSON Lines are made from plain rows here, so that they do not share a fault with the daemon.
async fn copy(shop: &Shop<'_>, request: &Request) -> anyhow::Result<String> {
    let client = connect(if request.role == "app" { &shop.app_url } else { &shop.warehouse_url }).await?;
    client.batch_execute("begin transaction isolation level repeatable read read only; set local timezone = 'UTC'").await?;
    let customer = request.customer.map(|customer| customer.to_string());
    client.query("select set_config('exportbox.param_customer', $1, true)", &[&customer]).await?;
    let mut sha = Sha256::new();
    if request.format == "jsonl" {
        let rows = client.simple_query(&format!("select row_to_json(q)::text from ({}) as q", request.query)).await?;
        for message in rows {
            if let SimpleQueryMessage::Row(row) = message {
                sha.update(row.get(0).unwrap_or_default());
                sha.update("\n");
            }
        }
    } else {
        let lines = client.copy_out(&format!("copy ({}) to stdout with (format csv, header)", request.query)).await?;
        let mut lines = std::pin::pin!(lines);
        while let Some(line) = lines.try_next().await? {
            sha.update(&line);
        }
    }
    Ok(hex(&sha.finalize()))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
