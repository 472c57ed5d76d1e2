//! SIGTERM: the running work goes back unburnt; a second one ends the process at once.

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::harness::World;
use crate::harness::process::{code, ended, signal, stderr};

async fn running(world: &World, grace: &str) -> (Child, uuid::Uuid) {
    let id = world.request("select 1 from pg_sleep(600)", &[]).await;
    let child = world.program(&["run"]).env("EXPORTBOX_GRACE", grace).spawn().unwrap();
    world
        .until(&format!("select count(*) = 1 from pg_stat_activity where application_name = 'exportbox export {id}' and state = 'active'"))
        .await;
    (child, id)
}

#[tokio::test]
async fn run_stops_on_sigterm_and_gives_its_job_back_unburnt() {
    let world = World::new().await;
    for name in ["TERM", "INT"] {
        let (child, id) = running(&world, "100ms").await;
        signal(&child, name).await;
        let output = ended(child).await;
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let job = world.row("select state, attempt, started_at is not null from exportbox.jobs where export_id = $1", &[&id]).await;
        assert_eq!((job.get::<_, &str>(0), job.get::<_, i16>(1), job.get::<_, bool>(2)), ("pending", 0, true));
        let outcome = "select outcome from exportbox.attempts where export_id = $1";
        assert_eq!(world.row(outcome, &[&id]).await.get::<_, &str>(0), "released");
        assert_eq!(world.rows_of("worker").await, 0, "a process that is gone is still listed");
        world.until(&format!("select count(*) = 0 from pg_stat_activity where application_name = 'exportbox export {id}'")).await;
        world.assert_store_is_clean().await;
        world.sql("delete from exportbox.outbox").await;
    }
}

#[tokio::test]
async fn a_stopping_run_lets_its_work_finish_within_the_grace() {
    let world = World::new().await;
    // Held by a lock that the test lets go of.
    world.sql("create table gate (); grant select on gate to app").await;
    world.sql("begin; lock table gate").await;
    let id = world.request("select count(*) from gate", &[]).await;
    let child = world.program(&["run"]).env("EXPORTBOX_GRACE", "1m").spawn().unwrap();
    world.until("select count(*) = 1 from pg_locks where not granted and relation = 'gate'::regclass").await;
    signal(&child, "TERM").await;
    world.sql("commit").await;
    let output = ended(child).await;
    assert_eq!((code(&output), world.state(id).await.as_str()), (0, "completed"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_second_sigterm_exits_at_once() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    let (mut child, id) = running(&world, "10m").await;
    signal(&child, "TERM").await;
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().expect("it ended at the first signal").contains("a second signal exits at once") {}
    signal(&child, "TERM").await;
    assert_eq!(code(&ended(child).await), 128 + 15);
    assert_eq!(world.state(id).await, "running", "its lease runs out by itself");
}
