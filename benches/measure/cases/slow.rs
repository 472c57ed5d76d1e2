//! A slow store: 200 MB into a store that takes 200 ms for each part. The store is what limits the time; memory must not grow with what the
//! source could give meanwhile.

use exportbox::sandbox::{Action, Rule};

use super::large::MEMORY;
use crate::Wanted;
use crate::line::{Goal, Line};
use crate::orders;
use crate::stand::Stand;

/// 200 MB as CSV.
const ROWS: usize = 1_700_000;

pub async fn measure(wanted: Wanted) -> anyhow::Result<Vec<Line>> {
    let stand = Stand::start(&[]).await?;
    orders::build(&stand, wanted.sized(ROWS)).await?;
    stand.sandbox.s3.faults().add(Rule::on("UploadPart", Action::DelayMs(200)));
    let (mut seconds, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..wanted.rounds.min(3) {
        orders::request(&stand, orders::ALL, "csv", "none").await?;
        let ran = orders::drain(&stand, &[]).await?;
        stand.remove_files()?;
        seconds.push(ran.seconds);
        peaks.push(ran.peak_mib);
    }
    Ok(vec![
        Line::alone("slow store, memory", "MiB", peaks, Goal::AtMost(MEMORY)).worst(),
        Line::alone("slow store, 200 ms a part", "s", seconds, Goal::None),
    ])
}
