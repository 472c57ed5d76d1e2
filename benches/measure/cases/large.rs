//! Large exports: 10 million rows, over 1 GB, in each of the forms, against `psql -c "COPY (the same query) TO STDOUT" > /dev/null`.
//!
//! Reading and floor are whole processes, from start to end; an export's is one `exportbox drain` with one request before it. The lines with a
//! goal go to a sink: on two processors, a store that signs, hashes and writes a gigabyte of its own in the same second would be measured
//! instead of the program. What the S3 stand-in makes of it is told beside it, with the CPU that either store takes. Gzip and the
//! in-database path have the plain CSV as their floor; JSON Lines has a floor that makes the same JSON. CPU is told per megabyte of the file
//! before compression.

use std::process::Stdio;

use tokio::process::Command;

use crate::Wanted;
use crate::costs;
use crate::line::{Costs, Goal, Line};
use crate::orders;
use crate::process::{self, Ran};
use crate::sink::Sink;
use crate::stand::Stand;

/// 1.2 GB as CSV.
pub const ROWS: usize = 10_000_000;
/// What the floor of JSON Lines says.
const JSON: &str = "select row_to_json(line)::text from";
/// The process's memory may not grow with the file, MiB.
pub const MEMORY: f64 = 64.0;

/// A form of the export, and its figures.
#[derive(Default)]
struct Form {
    rounds: Vec<(f64, f64)>,
    costs: Costs,
    peaks: Vec<f64>,
    store_cpu: Vec<f64>,
}

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let stand = Stand::start(&[]).await?;
    orders::build(&stand, wanted.sized(ROWS)).await?;
    let sink = Sink::start().await?;
    let to_sink = [&sink.as_both()[..], &[("EXPORTBOX_EXPORTER", "copy")]].concat();
    let to_stand_in = [("EXPORTBOX_EXPORTER", "copy")];
    let csv_floor = || orders::psql(&stand, orders::ALL, "with (format csv, header)");
    let json_floor = || orders::psql(&stand, &format!("{JSON} ({}) as line", orders::ALL), "");
    // The first ones warm the caches; the export also says how large the file is.
    export(&stand, "csv", "none", &to_sink).await?;
    let bytes = orders::newest_bytes(&stand).await?;
    process::run(csv_floor()?).await?;
    let [mut csv, mut gzip, mut jsonl, mut stored, mut inside, mut pipe] = [(); 6].map(|()| Form::default());
    for round in 0..wanted.rounds {
        let told = |what: &str, seconds: f64| eprintln!("          round {} of {}: {what} {seconds:.2} s", round + 1, wanted.rounds);
        let floor = process::run(csv_floor()?).await?.seconds;
        told("psql", floor);
        told("csv", csv.export(&stand, ["csv", "none"], &to_sink, floor, bytes).await?);
        told("gzip", gzip.export(&stand, ["csv", "gzip"], &to_sink, floor, bytes).await?);
        let json = process::run(json_floor()?).await?.seconds;
        told("psql with JSON", json);
        told("jsonl", jsonl.export(&stand, ["jsonl", "none"], &to_sink, json, bytes).await?);
        // Only told, so not as often.
        if round < 2 {
            told("csv to the stand-in", stored.export(&stand, ["csv", "none"], &to_stand_in, floor, bytes).await?);
            if let Some(command) = piped(&stand).await? {
                let seconds = process::run(command).await?.seconds;
                told("psql | gzip | cat", seconds);
                pipe.rounds.push((seconds, floor));
            }
        }
    }
    // Last: from here on the role may use aws_s3.
    stand.sandbox.grant_aws_s3(&stand.admin, "app").await?;
    for _ in 0..wanted.rounds.min(2) {
        let floor = process::run(csv_floor()?).await?.seconds;
        inside.export(&stand, ["csv", "none"], &[("EXPORTBOX_EXPORTER", "aws_s3")], floor, bytes).await?;
    }
    let peaks = [&csv, &gzip, &jsonl, &stored].iter().flat_map(|form| form.peaks.clone()).collect();
    let store_cpu = [("a sink", csv.store_cpu.clone()), ("the stand-in", stored.store_cpu.clone())];
    let told = store_cpu.map(|(store, cpu)| Line::alone(format!("large exports, CPU of {store}"), "us/MB", cpu, Goal::None));
    let measured = [
        csv.line("csv to a sink", Goal::RatioAtMost(1.1)),
        gzip.line("csv gzip to a sink", Goal::RatioAtMost(1.5)),
        jsonl.line("jsonl to a sink", Goal::RatioAtMost(1.1)),
        Line::alone("large exports, memory", "MiB", peaks, Goal::AtMost(MEMORY)).worst(),
        stored.line("csv to the stand-in", Goal::None),
        inside.line("csv by the database to the stand-in", Goal::None),
    ];
    let pipe = (!pipe.rounds.is_empty()).then(|| pipe.line("psql | gzip | cat, for comparison", Goal::None));
    Ok(measured.into_iter().chain(pipe).chain(told).collect())
}

/// Request one file and drain; the floor of its time was measured in the same round.
pub async fn export(stand: &Stand, format: &str, compression: &str, set: &[(&str, &str)]) -> anyhow::Result<Ran> {
    orders::request(stand, orders::ALL, format, compression).await?;
    let ran = orders::drain(stand, set).await?;
    stand.remove_files()?;
    Ok(ran)
}

impl Form {
    async fn export(&mut self, stand: &Stand, form: [&str; 2], set: &[(&str, &str)], floor: f64, bytes: f64) -> anyhow::Result<f64> {
        let cpu = || (costs::cpu_us(std::process::id()), costs::family_cpu_us(stand.server_pid()));
        let per_mb = |now: Option<f64>, before: Option<f64>| now.zip(before).map(|(now, before)| (now - before) / (bytes / 1e6));
        let (store, server) = cpu();
        let ran = export(stand, form[0], form[1], set).await?;
        let (store_now, server_now) = cpu();
        self.rounds.push((ran.seconds, floor));
        self.peaks.push(ran.peak_mib);
        self.store_cpu.extend(per_mb(store_now, store));
        self.costs = Costs {
            cpu_us: Some(ran.cpu_us / (bytes / 1e6)),
            server_cpu_us: per_mb(server_now, server),
            peak_mib: self.peaks.iter().copied().reduce(f64::max),
            ..Costs::default()
        };
        Ok(ran.seconds)
    }

    fn line(self, form: &str, goal: Goal) -> Line {
        Line::new(format!("large exports, {form}"), "s", &self.rounds, goal).costing(self.costs)
    }
}

/// What people do without exportbox; none where there is no gzip.
async fn piped(stand: &Stand) -> anyhow::Result<Option<Command>> {
    let gzip = Command::new("gzip").arg("--version").stdout(Stdio::null()).status().await;
    if !gzip.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let psql = orders::psql(stand, orders::ALL, "with (format csv, header)")?;
    let mut pipe = Command::new("sh");
    pipe.args(["-c", "\"$@\" | gzip | cat", "sh"]).arg(psql.as_std().get_program()).args(psql.as_std().get_args());
    pipe.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    Ok(Some(pipe))
}
