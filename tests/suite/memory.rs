//! Memory stays flat whatever the size of the files, with every slot busy, in the real program.

use std::path::Path;

use crate::harness::World;
use crate::harness::rows::ATTEMPTS;

const MIB: u64 = 1024 * 1024;

/// The most memory that a process has ever had resident without the pages of its program file, in bytes. A development build's program is
/// twenty times that of a release build, which would hide what is measured here.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    // A program file on a memory disk counts as shared memory.
    bytes("VmHWM:") - bytes("RssFile:") - bytes("RssShmem:")
}

/// Four exports of so many megabytes at once, by a process of their own; its peak.
async fn peak_of_four_exports(megabytes: u64) -> u64 {
    let world = World::new().await;
    let query = format!("select n, repeat(md5(n::text), 312) as noise from generate_series(1, {}) as n", megabytes * 100);
    for more in ["", "format => 'text'", "format => 'jsonl'", "compression => 'gzip'"] {
        world.request_with(&query, &[], more).await;
    }
    let mut daemon = world.spawn(&["run"]);
    world.until("select count(*) = 4 from exportbox.jobs where state = 'running'").await;
    world.until("select count(*) = 4 from exportbox.exports where state = 'completed'").await;
    let peak = peak(daemon.id().unwrap());
    daemon.kill().await.unwrap();
    let stored = world.count("select sum(bytes)::bigint from exportbox.exports").await;
    assert!(stored.unsigned_abs() > 3 * megabytes * 1_000_000, "{stored} bytes are stored");
    peak
}

#[tokio::test]
async fn four_busy_slots_need_two_parts_each_and_little_more_however_large_their_files_are() {
    let small = peak_of_four_exports(30).await;
    let large = peak_of_four_exports(150).await;
    println!("peak without the program: {} kB for 4 x 30 MB, {} kB for 4 x 150 MB", small / 1024, large / 1024);
    assert!(large < small + 6 * MIB, "five times the size took {} kB more", (large - small) / 1024);
    // 4 slots x 2 buffers x 5 MiB; what is left to 64 MiB is for the pages of a release build's program, about 10 MiB.
    assert!(large < 52 * MIB, "{} kB", large / 1024);
}

#[tokio::test]
async fn a_file_that_two_backends_make_needs_no_more_than_its_lanes_and_parts() {
    let world = World::new().await;
    // What its planner expects makes it worth splitting; what comes is 128 MB.
    world
        .sql(
            "create table public.big (id int primary key) with (autovacuum_enabled = off);
             insert into public.big select generate_series(1, 40000);
             analyze public.big;
             update pg_class set reltuples = 1000000 where relname = 'big';
             grant select on public.big to app;
             select exportbox.register_report('big', 'select id, repeat(md5(id::text), 100) as noise from big order by id', run_as => 'app', split_key => 'id')",
        )
        .await;
    world.request_report("big", serde_json::json!({}), "").await;
    let mut daemon = world.spawn(&["run"]);
    world.until("select count(*) = 1 from exportbox.exports where state = 'completed'").await;
    let peak = peak(daemon.id().unwrap());
    daemon.kill().await.unwrap();
    assert_eq!(world.count(&format!("select cardinality(more_pids)::bigint from {ATTEMPTS}")).await, 1);
    assert!(world.count("select sum(bytes)::bigint from exportbox.exports").await > 128_000_000);
    println!("peak without the program: {} kB for a split file of 128 MB", peak / 1024);
    // 3 lanes of 8 MiB, 2 parts of 5 MiB; what is left to 64 MiB is for the rest and for the pages of a release build's program.
    assert!(peak < 50 * MIB, "{} kB", peak / 1024);
}
