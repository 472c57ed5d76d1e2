//! Small exports: many requests for 100 rows, one mail each, worked off by one `exportbox drain`, against the raw parts at the same
//! concurrency: COPY into memory, PutObject, SendEmail with the same SDK clients over connections that are used again.
//!
//! The figure is that of the whole process, from its start to its end, over requests that are already there: `drain` ends by itself, so
//! nobody has to guess when the last mail has left. The floor does neither HEAD nor history nor signature of a link, and does not look for
//! formulas in the cells, which exportbox does in files that are mailed. Both speak to the same stand-ins, in the benchmark's own process, on
//! the same processors; what those cost dilutes the ratio, so the sharpest of these lines goes to a sink, that answers and keeps nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Context;
use aws_credential_types::Credentials;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{Destination, EmailContent, RawMessage};
use bytes::Bytes;
use exportbox::daemon;
use exportbox::sandbox::{Action, Rule};
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;

use crate::Wanted;
use crate::costs;
use crate::line::{Costs, Goal, Line};
use crate::orders;
use crate::process::Ran;
use crate::sink::Sink;
use crate::stand::Stand;

/// Rows of the table, and of one export.
const ROWS: usize = 100_000;
const OF_ONE: usize = 100;

/// One line of the table.
struct Combination {
    /// How long each answer of S3 and SES takes.
    latency_ms: u64,
    slots: usize,
    /// What waits longer gets fewer, so that a round takes about as long everywhere.
    requests: usize,
    /// To a sink rather than to the stand-ins.
    is_sunk: bool,
}

const fn with(latency_ms: u64, slots: usize, requests: usize) -> Combination {
    Combination { latency_ms, slots, requests, is_sunk: false }
}

const ALL: [Combination; 7] = [
    with(0, 1, 2_000),
    with(0, 8, 10_000),
    with(0, 64, 10_000),
    with(10, 1, 400),
    with(10, 8, 3_000),
    with(10, 64, 10_000),
    Combination { is_sunk: true, ..with(0, 8, 10_000) },
];

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let stand = start().await?;
    let sink = Sink::start().await?;
    // The first ones warm the caches, and give the floor a mail to send.
    let mail = Bytes::from(first_mail(&stand).await?);
    let mut lines = Vec::new();
    for combination in ALL {
        let combination = Combination { requests: wanted.sized(combination.requests), ..combination };
        delay(&stand, combination.latency_ms);
        lines.push(combination.measure(&stand, &sink, &mail, wanted.rounds.min(3)).await?);
    }
    Ok(lines)
}

/// A stand with the orders and the report that is requested.
pub async fn start() -> anyhow::Result<Stand> {
    let stand = Stand::start(&[]).await?;
    stand.sandbox.ses.set_max_24_hour_send(-1.0);
    orders::build(&stand, ROWS).await?;
    let after = "(select exportbox.param('after')::bigint)";
    let query = format!("{} where id > {after} and id <= {after} + {OF_ONE}", orders::ALL);
    let register = "select exportbox.register_report('small', $1, '{\"after\": \"bigint\"}', 'app')";
    stand.admin.execute(register, &[&query]).await.context("register the report")?;
    Ok(stand)
}

/// Request so many, work them off, and clear away what was stored and mailed. Gives what the worker came to.
pub async fn work(stand: &Stand, requests: usize, slots: usize, set: &[(&str, &str)]) -> anyhow::Result<Ran> {
    request(stand, requests).await?;
    let ran = orders::drain(stand, &with_slots(&slots.to_string(), set)).await?;
    clear(stand)?;
    Ok(ran)
}

/// As many slots for mails as for exports.
fn with_slots<'a>(slots: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("EXPORTBOX_SLOTS", slots), ("EXPORTBOX_MAIL_SLOTS", slots)], more].concat()
}

impl Combination {
    async fn measure(&self, stand: &Stand, sink: &Sink, mail: &Bytes, rounds: usize) -> anyhow::Result<Line> {
        let Combination { latency_ms, slots, requests, is_sunk } = *self;
        let sink = is_sunk.then_some(sink);
        let (slots_text, elsewhere) = (slots.to_string(), sink.map(Sink::as_both).map(Vec::from).unwrap_or_default());
        let (mut measured, mut costs) = (Vec::new(), Costs::default());
        let per_export = |whole: f64| whole / requests as f64;
        for round in 0..rounds {
            request(stand, requests).await?;
            stand.statements_of_all().await?;
            let server = costs::family_cpu_us(stand.server_pid());
            let ran = orders::drain(stand, &with_slots(&slots_text, &elsewhere)).await?;
            costs = Costs {
                statements: Some(per_export(stand.statements_of_all().await?)),
                cpu_us: Some(per_export(ran.cpu_us)),
                server_cpu_us: costs::family_cpu_us(stand.server_pid()).zip(server).map(|(now, before)| per_export(now - before)),
                peak_mib: Some(costs.peak_mib.unwrap_or(0.0).max(ran.peak_mib)),
                ..costs
            };
            clear(stand)?;
            let floor = floor(stand, sink, mail, slots, requests).await?;
            clear(stand)?;
            let rates = (requests as f64 / ran.seconds, requests as f64 / floor);
            eprintln!(
                "          {slots} slots, {latency_ms} ms, round {} of {rounds}: {:.0}/s, floor {:.0}/s",
                round + 1,
                rates.0,
                rates.1
            );
            measured.push(rates);
        }
        let place = if is_sunk { "to a sink".into() } else { format!("{latency_ms} ms") };
        let name = format!("small exports, {slots} slot{}, {place}", if slots == 1 { "" } else { "s" });
        Ok(Line::new(name, "exports/s", &measured, Goal::RatioAtLeast(0.8)).costing(costs))
    }
}

/// The raw parts, seconds in all.
async fn floor(stand: &Stand, sink: Option<&Sink>, mail: &Bytes, slots: usize, requests: usize) -> anyhow::Result<f64> {
    let parts = Parts::new(stand, sink).await?;
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let lane = async || {
        let source = stand.connect(&stand.app_url()).await?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= requests {
                return anyhow::Ok(());
            }
            let after = first_row(number);
            let copy =
                format!("copy ({} where id > {after} and id <= {}) to stdout with (format csv, header)", orders::ALL, after + OF_ONE);
            let file: Vec<Bytes> = source.copy_out(&copy).await?.try_collect().await?;
            parts.put(&format!("floor/{number}.csv"), file.concat()).await?;
            parts.send(&recipient(number), mail).await?;
        }
    };
    try_join_all((0..slots).map(|_| lane())).await?;
    Ok(begun.elapsed().as_secs_f64())
}

/// The SDK's clients as the program builds them.
struct Parts<'a> {
    stand: &'a Stand,
    s3: aws_sdk_s3::Client,
    ses: aws_sdk_sesv2::Client,
}

impl Parts<'_> {
    async fn new<'a>(stand: &'a Stand, sink: Option<&Sink>) -> anyhow::Result<Parts<'a>> {
        let environment = stand.sandbox.environment("shop");
        let set = |name: &str| environment.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone()).unwrap_or_default();
        let credentials = Credentials::new(set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY"), None, None, "benchmark");
        let region = aws_config::Region::new(set("AWS_REGION"));
        let sdk = daemon::aws_config_with(|loader| loader.credentials_provider(credentials).region(region)).await;
        let [s3, ses] = match sink {
            Some(sink) => [sink.endpoint().to_owned(), sink.endpoint().to_owned()],
            None => [stand.sandbox.s3.endpoint(), stand.sandbox.ses.endpoint()],
        };
        let s3 = aws_sdk_s3::config::Builder::from(&sdk).endpoint_url(s3).force_path_style(true).build();
        let ses = aws_sdk_sesv2::config::Builder::from(&sdk).endpoint_url(ses).build();
        Ok(Parts { stand, s3: aws_sdk_s3::Client::from_conf(s3), ses: aws_sdk_sesv2::Client::from_conf(ses) })
    }

    async fn put(&self, key: &str, file: Vec<u8>) -> anyhow::Result<()> {
        self.s3.put_object().bucket(self.stand.sandbox.bucket()).key(key).body(file.into()).send().await.context("PutObject")?;
        Ok(())
    }

    async fn send(&self, to: &str, mail: &Bytes) -> anyhow::Result<()> {
        let raw = RawMessage::builder().data(Blob::new(mail.to_vec())).build()?;
        let send = self.ses.send_email().from_email_address("exports@example.com");
        let send = send.destination(Destination::builder().to_addresses(to).build());
        send.content(EmailContent::builder().raw(raw).build()).send().await.context("SendEmail")?;
        Ok(())
    }
}

/// A mail as exportbox writes it.
async fn first_mail(stand: &Stand) -> anyhow::Result<Vec<u8>> {
    request(stand, 20).await?;
    orders::drain(stand, &[]).await?;
    let mail = stand.sandbox.ses.mails().pop().context("no mail was sent")?;
    clear(stand)?;
    Ok(mail.raw)
}

async fn request(stand: &Stand, requests: usize) -> anyhow::Result<()> {
    let app = stand.connect(&stand.app_url()).await?;
    let insert = "insert into exportbox.outbox (report, params, recipients)
        select 'small', jsonb_build_object('after', n % $2::bigint * $3::bigint), array['reader' || n || '@example.com'] from generate_series(0, $1::bigint - 1) as n";
    app.execute(insert, &[&(requests as i64), &((ROWS / OF_ONE) as i64), &(OF_ONE as i64)]).await.context("request the exports")?;
    Ok(())
}

fn first_row(number: usize) -> usize {
    number % (ROWS / OF_ONE) * OF_ONE
}

fn recipient(number: usize) -> String {
    format!("reader{number}@example.com")
}

fn clear(stand: &Stand) -> anyhow::Result<()> {
    stand.remove_files()?;
    stand.sandbox.ses.empty()
}

/// From now on every answer of both providers takes so long.
fn delay(stand: &Stand, ms: u64) {
    for faults in [stand.sandbox.s3.faults(), stand.sandbox.ses.faults()] {
        faults.clear();
        if ms > 0 {
            faults.add(Rule { operation: None, key_contains: None, times: None, skip: 0, action: Action::DelayMs(ms) });
        }
    }
}
