//! The results: a table for people, `target/bench/results.json` for programs.

use std::path::Path;

use serde_json::{Value, json};

use super::Wanted;
use super::line::{Goal, Line, median};

/// Where the results are written, from the root of the repository.
pub const RESULTS: &str = "target/bench/results.json";

/// One line while it runs.
pub fn short(line: &Line) -> String {
    let [figure, floor, ratio, goal, met] = cells(line);
    format!("{}: {figure} (floor {floor}), ratio {ratio}, goal {goal}: {met}", line.case)
}

/// All of it, in Markdown, as docs/performance.md holds it.
pub fn table(lines: &[Line], wanted: Wanted) -> String {
    let header = [
        "case",
        "figure",
        "floor",
        "ratio (min / median / max)",
        "goal",
        "met",
        "statements",
        "round trips",
        "CPU, us",
        "server CPU, us",
        "memory, MiB",
    ];
    let rows = lines.iter().map(|line| {
        let [figure, floor, ratio, goal, met] = cells(line);
        let costs = line.costs;
        let told = |cost: Option<f64>| cost.map(number).unwrap_or_default();
        let costs = [costs.statements, costs.round_trips, costs.cpu_us, costs.server_cpu_us, costs.peak_mib].map(told);
        [vec![line.case.replace('|', "\\|"), figure, floor, ratio, goal, met], costs.to_vec()].concat()
    });
    let mut all: Vec<Vec<String>> = vec![header.map(String::from).to_vec()];
    all.extend(rows);
    let widths: Vec<usize> = (0..header.len()).map(|column| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let print = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = print(&all[0]);
    text += &format!("|{}|\n", widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|"));
    all[1..].iter().for_each(|row| text += &print(row));
    if wanted.scale != 1.0 {
        text += &format!("\nMeasured at {} of the documented sizes: to try things out, not to be compared.\n", wanted.scale);
    }
    text
}

/// What programs read: an array of `{case, figure, unit, floor, ratio, goal, met}` and more.
pub fn write_results(lines: &[Line]) -> std::io::Result<()> {
    let all: Vec<Value> = lines
        .iter()
        .map(|line| {
            let (ratio, costs) = (line.ratio(), line.costs);
            json!({
                "case": line.case,
                "figure": median(&line.figures),
                "unit": line.unit,
                "floor": median(&line.floors),
                "ratio": ratio.map(|[_, median, _]| median),
                "ratio_min": ratio.map(|[least, ..]| least),
                "ratio_max": ratio.map(|[.., most]| most),
                "goal": goal(line.goal),
                "met": line.met(),
                "error": line.failure,
                "statements": costs.statements,
                "round_trips": costs.round_trips,
                "cpu_us": costs.cpu_us,
                "server_cpu_us": costs.server_cpu_us,
                "peak_mib": costs.peak_mib,
                "rounds": line.figures.len(),
            })
        })
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(RESULTS);
    std::fs::create_dir_all(path.parent().expect("it lies in a directory"))?;
    std::fs::write(path, format!("{:#}\n", Value::Array(all)))
}

fn cells(line: &Line) -> [String; 5] {
    if let Some(why) = &line.failure {
        return ["failed".into(), String::new(), why.clone(), String::new(), "no".into()];
    }
    let with_unit = |value: Option<f64>| value.map(|value| format!("{} {}", number(value), line.unit)).unwrap_or_default();
    let ratio = line.ratio().map(|[least, median, most]| format!("{least:.2} / **{median:.2}** / {most:.2}")).unwrap_or_default();
    let met = line.met().map(|met| if met { "yes" } else { "no" }).unwrap_or_default();
    [with_unit(median(&line.figures)), with_unit(median(&line.floors)), ratio, goal(line.goal), met.into()]
}

fn goal(goal: Goal) -> String {
    match goal {
        Goal::RatioAtLeast(least) => format!(">= {least}"),
        Goal::RatioAtMost(most) => format!("<= {most}"),
        Goal::AtMost(most) => format!("<= {most} itself"),
        Goal::None => String::new(),
    }
}

/// Three digits that matter.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        ..0.1 => format!("{value:.3}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
