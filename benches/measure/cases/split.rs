//! A report with a split key, exported by two backends that share one snapshot, against one `psql` COPY of the same query. The file must be
//! the same, byte by byte, as that of the report without the key.

use std::path::PathBuf;

use anyhow::Context;

use super::large::ROWS;
use crate::Wanted;
use crate::line::{Costs, Goal, Line};
use crate::orders;
use crate::process::{self, Ran};
use crate::sink::Sink;
use crate::stand::Stand;

/// The setting that allows so many backends for one export.
const TWO: (&str, &str) = ("EXPORTBOX_SPLIT", "2");

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let stand = Stand::start(&[]).await?;
    orders::build(&stand, wanted.sized(ROWS)).await?;
    let query = format!("{} order by id", orders::ALL);
    let whole = "select exportbox.register_report(name => 'whole', query => $1, run_as => 'app')";
    stand.admin.execute(whole, &[&query]).await.context("register the report")?;
    let split = "select exportbox.register_report(name => 'split', query => $1, run_as => 'app', split_key => 'id')";
    stand.admin.execute(split, &[&query]).await.context("register the report with a split key")?;

    let sink = Sink::start().await?;
    let set = [&sink.as_both()[..], &[TWO]].concat();
    let (mut rounds, mut costs) = (Vec::new(), Costs::default());
    // The first round warms the caches.
    for round in 0..=wanted.rounds {
        let ran = export(&stand, "split", &set).await?;
        let floor = process::run(orders::psql(&stand, &query, "with (format csv, header)")?).await?.seconds;
        eprintln!("          round {round} of {}: {:.2} s, psql {floor:.2} s", wanted.rounds, ran.seconds);
        if round > 0 {
            rounds.push((ran.seconds, floor));
            costs.peak_mib = Some(costs.peak_mib.unwrap_or(0.0).max(ran.peak_mib));
        }
    }
    anyhow::ensure!(are_same(&stand).await?, "the file of two backends is not the file of one");
    Ok(vec![Line::new("split: two backends", "s", &rounds, Goal::RatioAtMost(0.7)).costing(costs)])
}

async fn export(stand: &Stand, report: &str, set: &[(&str, &str)]) -> anyhow::Result<Ran> {
    let app = stand.connect(&stand.app_url()).await?;
    app.execute("insert into exportbox.outbox (report) values ($1)", &[&report]).await.context("request the report")?;
    orders::drain(stand, set).await
}

/// Whether both reports give the same file.
async fn are_same(stand: &Stand) -> anyhow::Result<bool> {
    let (whole, split) = (stored(stand, "whole").await?, stored(stand, "split").await?);
    let compare = tokio::process::Command::new("cmp").arg("--silent").arg(whole).arg(split).status().await.context("compare the files")?;
    stand.remove_files()?;
    Ok(compare.success())
}

/// Where the stand-in keeps the file of this report.
async fn stored(stand: &Stand, report: &str) -> anyhow::Result<PathBuf> {
    export(stand, report, &[TWO]).await?;
    let key = "select object.key from exportbox.object join exportbox.outbox on outbox.id = object.export_id
               where outbox.report = $1 order by outbox.requested_at desc limit 1";
    let key: String = stand.admin.query_one(key, &[&report]).await.context("find the file")?.get(0);
    Ok(stand.sandbox.s3.dir().join(stand.sandbox.bucket()).join(key))
}
