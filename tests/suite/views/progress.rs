//! How far an export is: rows against the planner's guess, rate, expected end.

use exportbox::job::{Kind, State};

use crate::harness::World;
use crate::harness::jobs::plant;

/// A thousand rows, then a gate, then a thousand more.
const HALF: &str = "select repeat('x', 1000) as line from generate_series(1, 1000)
    union all select repeat('x', 1000) from generate_series(1, 1000), (select pg_advisory_xact_lock_shared(1)) as gate";

#[tokio::test]
async fn an_export_that_runs_says_how_far_it_is_and_never_that_it_is_done() {
    let world = World::new().await;
    let gate = world.gate().await;
    let daemon = world.start().await;
    let id = world.request(HALF, &[]).await;
    world.until(&format!("select rows > 900 from exportbox.exports where id = '{id}'")).await;
    let running = world.export(id).await;
    assert_eq!(running["expected_rows"], 2000, "{running}");
    let percent = running["percent"].as_i64().unwrap();
    assert!((40..=60).contains(&percent), "{running}");
    assert!(running["rows_per_second"].as_i64().unwrap() > 0 && running["progress_at"].is_string(), "{running}");
    gate.open().await;
    world.until_state(id, "completed").await;
    let done = world.export(id).await;
    assert_eq!((&done["percent"], &done["rows"]), (&100.into(), &2000.into()));
    assert!(done["expected_rows"].is_null() && done["expected_end_at"].is_null(), "a guess about what is known: {done}");
    let expected = world.count(&format!("select expected_rows from exportbox.attempts where export_id = '{id}'")).await;
    assert_eq!(expected, 2000, "the attempt keeps it");
    daemon.stop().await;
}

#[tokio::test]
async fn the_arithmetic_of_progress_is_right_and_what_is_not_known_is_null() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let planted = plant(&world.admin, Kind::Export, State::Running).await;
    // Sixty seconds of work at 25 rows and 1,000 bytes a second.
    let cases = [
        ("1500", "60000", "6000", "25 25 1000 180"),
        ("5999", "60000", "6000", "99 100 1000 0"),
        // More than expected, and still not done.
        ("9000", "60000", "6000", "99 150 1000 -"),
        ("1500", "60000", "null", "- 25 1000 -"),
        // As after a database was asked that guesses nothing.
        ("1500", "60000", "0", "- 25 1000 -"),
        // What aws_s3 tells.
        ("null", "null", "6000", "- - - -"),
    ];
    for (rows, bytes, expected, told) in cases {
        world
            .set_attempts(
                &format!(
                    "rows = {rows}, bytes = {bytes}, expected_rows = {expected}, started_at = now() - interval '60 s',
                    progress_at = case when {rows} is not null then now() end"
                ),
                "true",
            )
            .await;
        // The update and this are some milliseconds apart.
        let look = "select concat_ws(' ', coalesce(percent::text, '-'), coalesce(rows_per_second::text, '-'), coalesce(bytes_per_second::text, '-'),
                coalesce(round(extract(epoch from expected_end_at - progress_at))::text, '-'))
            from exportbox.exports where id = $1";
        let said: String = world.row(look, &[&planted.export_id]).await.get(0);
        // An end that is due within the milliseconds since the update may have passed.
        assert!(said == told || told.ends_with(" 0") && said == told.replace(" 0", " -"), "{rows} of {expected}: {said}, not {told}");
    }
    // Time has passed, and nothing was heard: the end that was expected is none.
    world
        .set_attempts(
            "rows = 3000, expected_rows = 3100, started_at = now() - interval '10 m', progress_at = now() - interval '9 m'",
            "true",
        )
        .await;
    assert!(world.export(planted.export_id).await["expected_end_at"].is_null());
}

#[tokio::test]
async fn a_query_that_cannot_be_planned_fails_as_it_would_have_and_one_that_can_is_not_changed_by_the_asking() {
    let world = World::new().await;
    let wrong = world.request("select no_such_column", &[]).await;
    let twice = world.request("select 1 as a, 2 as a from generate_series(1, 3) order by 1; ", &[]).await;
    world.drain().await;
    let said = world.export(wrong).await;
    assert!(said["error"].as_str().unwrap().contains("a column that does not exist"), "{said}");
    assert_eq!((world.state(wrong).await.as_str(), world.state(twice).await.as_str()), ("dead", "completed"));
    assert_eq!(world.count(&format!("select expected_rows from exportbox.attempts where export_id = '{twice}'")).await, 3);
}

#[tokio::test]
async fn what_runs_while_a_query_is_planned_leaves_nothing_behind_in_the_exports_session() {
    let world = World::new().await;
    // Folded to a constant when the query is planned: an innocent name for what sets something in the session.
    world
        .sql(
            "create function public.innocent() returns integer language plpgsql immutable as $$
                begin perform set_config('exportbox.planted', 'x' || coalesce(current_setting('exportbox.planted', true), ''), true); return 1; end $$;
             grant execute on function public.innocent() to public",
        )
        .await;
    let id = world.request("select length(current_setting('exportbox.planted')) as times where public.innocent() = 1", &[]).await;
    world.drain().await;
    assert_eq!(world.stored(id).await, b"times\n1\n", "planned twice, and only COPY's own planning has left its mark");
}
