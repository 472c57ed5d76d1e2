//! What a terminal gets: colours, a page that fits, a bar. And what a file or a pipe gets: none of that.

use std::process::Output;

use tokio::process::Command;

use crate::harness::World;
use crate::harness::process::{PROGRAM, code, stdout};

const ESCAPE: char = '\u{1b}';

impl World {
    /// Run the program on a terminal of 24 lines of 80 columns.
    async fn run_on_terminal(&self, arguments: &str, settings: &[(&str, &str)]) -> Output {
        let line = format!("stty rows 24 cols 80; exec {PROGRAM} {arguments}");
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env_clear().envs(self.environment()).env("PATH", std::env::var("PATH").unwrap());
        command.env("TERM", "xterm-256color").envs(settings.iter().copied()).kill_on_drop(true);
        command.output().await.expect("script, of util-linux, is there")
    }
}

/// What is seen of it, one after the other: a line, and what it is written over with.
fn seen(text: &str) -> Vec<String> {
    console::strip_ansi_codes(text).split(['\r', '\n']).filter(|line| !line.is_empty()).map(|line| line.trim_end().to_string()).collect()
}

#[tokio::test]
async fn colours_are_for_terminals_and_not_with_no_color() {
    let world = World::new().await;
    let id = world.request("select nonsense", &[]).await;
    world.drain().await;
    for command in ["status".to_string(), format!("show {id}")] {
        let coloured = stdout(&world.run_on_terminal(&command, &[]).await);
        assert!(coloured.contains(&format!("{ESCAPE}[31mdead")), "{command}: {coloured:?}");
        for settings in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let plain = stdout(&world.run_on_terminal(&command, &[settings]).await);
            assert!(plain.contains("dead") && !plain.contains(ESCAPE), "{command} {settings:?}: {plain:?}");
        }
        let piped = stdout(&world.run(&command.split(' ').collect::<Vec<_>>()).await);
        assert!(piped.contains("dead") && !piped.contains(ESCAPE), "{command}: {piped:?}");
    }
}

#[tokio::test]
async fn status_fits_a_screen_and_keeps_the_ids_whole() {
    let world = World::new().await;
    for _ in 0..12 {
        world.request("select needle_of_a_column_that_is_not_there", &[]).await;
    }
    world.drain().await;
    world
        .hold(
            "export",
            "store_config",
            "The bucket is missing. Create it, or set EXPORTBOX_BUCKET to one that is there; what waits goes on by itself then.",
            "null",
        )
        .await;
    let page = seen(&stdout(&world.run_on_terminal("status", &[]).await));
    let rows: usize = page.iter().map(|line| line.chars().count().div_ceil(80).max(1)).sum();
    assert!(rows < 24, "{rows} rows: {page:#?}");
    let listed: Vec<&String> = page.iter().filter(|line| line.contains("  dead  ")).collect();
    assert_eq!(listed.len(), 10, "{page:#?}");
    assert!(listed.iter().all(|line| line.chars().count() <= 80 && line[..36].parse::<uuid::Uuid>().is_ok()), "{listed:#?}");
}

#[tokio::test]
async fn watch_draws_a_bar_on_a_terminal_and_prints_lines_elsewhere() {
    let world = World::new().await;
    let gate = world.gate().await;
    let daemon = world.start().await;
    let half = "select repeat('x', 1000) from generate_series(1, 1000)
        union all select repeat('x', 1000) from generate_series(1, 1000), (select pg_advisory_xact_lock_shared(1)) as gate";
    let id = world.request(half, &["ann@example.com"]).await;
    world.until(&format!("select percent > 0 from exportbox.exports where id = '{id}'")).await;
    let looking = "select count(*) from pg_stat_activity where application_name like 'exportbox cli:%' and datname = current_database()";
    let on_terminal = async {
        let arguments = format!("watch {id}");
        world.run_on_terminal(&arguments, &[]).await
    };
    let id_text = id.to_string();
    let in_pipe = async { world.run(&["watch", &id_text]).await };
    let opened = async {
        world.until(&format!("({looking}) = 2")).await;
        // Both have looked at least once, and wait to look again.
        world.until("select count(*) = 2 from pg_stat_activity where application_name like 'exportbox cli:%' and state = 'idle' and datname = current_database() and query like '%show_export%'").await;
        gate.open().await;
    };
    let (drawn, piped, ()) = tokio::join!(on_terminal, in_pipe, opened);
    assert_eq!((code(&drawn), code(&piped)), (0, 0));
    let (drawn, piped) = (stdout(&drawn), stdout(&piped));
    let bar = seen(&drawn).into_iter().find(|line| line.contains('[') && line.contains("% running"));
    assert!(bar.is_some(), "no bar: {drawn:?}");
    assert!(seen(&drawn).iter().any(|line| line.starts_with("completed  2,000 rows")), "{drawn:?}");
    let lines: Vec<&str> = piped.lines().collect();
    assert!(lines[0].starts_with("running  ") && lines[0].contains("%  ") && lines[0].contains(" rows/s"), "{piped:?}");
    assert!(lines.last().unwrap().starts_with("completed  2,000 rows") && !piped.contains(ESCAPE) && !piped.contains('\r'), "{piped:?}");
    daemon.stop().await;
}
