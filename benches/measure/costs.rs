//! What processes cost, read from /proc: CPU and memory. Where there is no /proc the costs are unknown.

use std::collections::HashMap;
use std::fs;

/// Clock ticks of /proc in a second: 100 on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// CPU of one process in microseconds; of its ended children too, where asked.
fn cpu_of(pid: u32, with_children: bool) -> Option<f64> {
    ticks_us(pid, if with_children { 11..15 } else { 11..13 })
}

/// CPU of all children of this process that have ended, microseconds: the difference around one child is that child's, to its last tick.
pub fn ended_children_cpu_us() -> Option<f64> {
    ticks_us(std::process::id(), 13..15)
}

fn ticks_us(pid: u32, range: std::ops::Range<usize>) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which is in parentheses and may hold anything: field 3 is the first.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(range)?.iter().filter_map(|field| field.parse::<f64>().ok()).sum::<f64>();
    Some(ticks / TICKS * 1e6)
}

/// CPU of a process so far, microseconds.
pub fn cpu_us(pid: u32) -> Option<f64> {
    cpu_of(pid, false)
}

/// CPU of a process and of all below it, ended ones included, microseconds: a database server is such a family.
pub fn family_cpu_us(pid: u32) -> Option<f64> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{child}/stat")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        children.entry(parent.unwrap_or(0)).or_default().push(child);
    }
    let (mut sum, mut open) = (0.0, vec![pid]);
    while let Some(pid) = open.pop() {
        sum += cpu_of(pid, true).unwrap_or(0.0);
        open.extend(children.get(&pid).into_iter().flatten());
    }
    Some(sum)
}

/// Most resident memory of a living process so far, MiB.
pub fn peak_mib(pid: u32) -> Option<f64> {
    memory_mib(pid, "VmHWM:")
}

/// Resident memory of a living process now, MiB.
pub fn resident_mib(pid: u32) -> Option<f64> {
    memory_mib(pid, "VmRSS:")
}

fn memory_mib(pid: u32, field: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}
