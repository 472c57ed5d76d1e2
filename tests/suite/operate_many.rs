//! Requeue and cancel by filter: what is named, who may, what the history says, and that nobody waits for anybody for long.

use exportbox::job::{Kind, State};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::harness::jobs::plant;
use crate::harness::process::{code, json, stderr, stdout};
use crate::harness::requests::refusal;
use crate::harness::rows::hold_jobs;
use crate::harness::{GATED, World};

/// Dead exports of a long outage, without their requests.
async fn plant_many_dead(world: &World) {
    let values = "'export', 'dead', now() - interval '1 minute', 'timeout', 'Planted.'";
    world.plant_jobs(2500, "kind, state, finished_at, error_class, error", values).await;
}

async fn call(client: &Client, call: &str) -> Value {
    client.query_one(&format!("select exportbox.{call}"), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn an_empty_filter_is_refused_and_so_is_one_that_can_name_nothing() {
    let world = World::new().await;
    plant(&world.admin, Kind::Export, State::Dead).await;
    let (url, operator) = world.operators().await;
    for (function, code) in [
        ("requeue_where()", "EB090"),
        ("requeue_where(at_most => 5, spread => '1 minute', dry_run => true)", "EB090"),
        ("cancel_where(at_most => 5)", "EB090"),
        ("requeue_where(state => 'pending')", "EB091"),
        ("cancel_where(state => 'dead')", "EB091"),
        ("cancel_where(kind => 'mail')", "EB091"),
        ("requeue_where(since => now(), until => now() - interval '1 hour')", "EB091"),
        ("requeue_where(state => 'dead', at_most => 0)", "EB091"),
        ("requeue_where(state => 'dead', spread => '-1 minute')", "EB091"),
    ] {
        let said = refusal(&operator, &format!("select exportbox.{function}")).await;
        assert!(said.code == code && !said.hint.is_empty(), "{function}: {said:?}");
    }
    let as_operator = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    for command in [&["requeue"][..], &["requeue", "--dry-run", "--limit", "3"], &["cancel"]] {
        let output = world.run_with(command, &as_operator).await;
        assert_eq!(code(&output), 2, "{command:?}");
        assert!(stderr(&output).contains("the filter is empty") && stderr(&output).contains("Name at least one"), "{}", stderr(&output));
    }
    assert_eq!(world.count("select count(*) from exportbox.jobs where state = 'dead'").await, 1);
}

#[tokio::test]
async fn each_part_of_a_filter_leaves_out_what_it_does_not_name() {
    let world = World::new().await;
    world.register("sales", "select 1 as one", "").await;
    let report = world.request_report("sales", json!({}), "").await;
    let adhoc = world.request("select 1 as one", &[]).await;
    let old = world.request("select 2 as two", &[]).await;
    let delivery = plant(&world.admin, Kind::Message, State::Dead).await;
    let cancelled = world.request("select 3 as three", &[]).await;
    world.cancel(cancelled).await;
    for (id, ago, class) in [(report, "1 minute", "timeout"), (adhoc, "1 minute", "query"), (old, "3 hours", "timeout")] {
        let dead = format!("state = 'dead', error = 'Planted.', finished_at = now() - interval '{ago}', error_class = '{class}'");
        world.set_jobs(&dead, &format!("export_id = '{id}'")).await;
    }
    let operator = world.operator().await;
    let exports = async |filter: &str| {
        operator.batch_execute("begin").await.unwrap();
        let dry = call(&operator, &format!("requeue_where({filter}, dry_run => true)")).await;
        let done = call(&operator, &format!("requeue_where({filter})")).await;
        assert_eq!((&done["jobs"], &done["exports"]), (&dry["jobs"], &dry["exports"]), "{filter}: a dry run says what would be done");
        let rows = operator.query("select export_id from exportbox.events where kind = 'requeued'", &[]).await.unwrap();
        let mut ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        operator.batch_execute("rollback").await.unwrap();
        ids.sort();
        ids
    };
    let sorted = |mut ids: Vec<Uuid>| {
        ids.sort();
        ids
    };
    for (filter, named) in [
        ("state => 'dead'", vec![report, adhoc, old, delivery.export_id]),
        ("state => 'cancelled'", vec![cancelled]),
        ("kind => 'delivery'", vec![delivery.export_id]),
        ("report => 'sales'", vec![report]),
        ("error_class => 'timeout'", vec![report, old]),
        ("error_class => 'timeout', since => now() - interval '2 hours'", vec![report]),
        ("state => 'dead', kind => 'export', until => now() - interval '2 hours'", vec![old]),
        ("requested_by => 'app', state => 'dead'", vec![report, adhoc, old]),
        ("requested_by => 'nobody'", vec![]),
    ] {
        assert_eq!(exports(filter).await, sorted(named), "{filter}");
    }
    assert_eq!(call(&operator, "requeue_where(state => 'dead', at_most => 3)").await["jobs"], 3);
    assert_eq!(world.count("select count(*) from exportbox.jobs where state = 'dead'").await, 1);
}

#[tokio::test]
async fn each_export_that_was_touched_has_its_event_and_one_sums_them_up() {
    let world = World::new().await;
    let ids = [world.request("select nonsense", &[]).await, world.request("select nonsense", &[]).await];
    world.drain().await;
    let operator = world.operator().await;
    let said = call(&operator, "requeue_where(state => 'dead', error_class => 'query')").await;
    assert_eq!((&said["jobs"], &said["exports"], &said["more"], &said["dry_run"]), (&2.into(), &2.into(), &false.into(), &false.into()));
    let said = call(&operator, "cancel_where(requested_by => 'app')").await;
    assert_eq!((&said["jobs"], &said["stopped"], &said["asked"]), (&2.into(), &2.into(), &0.into()), "{said}");
    // The requester sees who did what to its own.
    let app = world.app().await;
    for id in ids {
        let lines = app.query("select kind, actor from exportbox.events where export_id = $1 order by id", &[&id]).await.unwrap();
        let lines: Vec<(&str, &str)> =
            lines.iter().map(|row| (row.get(0), row.get::<_, &str>(1).split("_world").next().unwrap())).collect();
        assert_eq!(lines, [("dead", "exportbox_daemon"), ("requeued", "operator"), ("cancelled", "operator")]);
    }
    let sums = "select string_agg(what || ': ' || detail, E'\\n' order by at) from exportbox.audit where what like '%_where'";
    assert_eq!(
        world.text(sums).await,
        "requeued_where: 2 jobs of 2 exports: state dead, error class query\n\
         cancelled_where: 2 waiting cancelled, 0 running asked to stop, of 2 exports: requested by app"
    );
    // Nothing touched, nothing written.
    let before = world.count("select count(*) from exportbox.events").await;
    assert_eq!(call(&operator, "requeue_where(report => 'none')").await["jobs"], 0);
    assert_eq!(world.count("select count(*) from exportbox.events").await, before);
}

#[tokio::test]
async fn only_operators_act_by_filter() {
    let world = World::new().await;
    plant(&world.admin, Kind::Export, State::Dead).await;
    for role in ["exportbox_requester", "exportbox_reader", "exportbox_worker"] {
        let other = world.login(role, &[role]).await;
        for function in
            ["requeue_where(state => 'dead')", "cancel_where(state => 'pending')", "requeue_where(state => 'dead', dry_run => true)"]
        {
            assert_eq!(refusal(&other, &format!("select exportbox.{function}")).await.code, "42501", "{role} {function}");
        }
    }
}

#[tokio::test]
async fn the_command_goes_on_in_batches_to_the_end_and_spreads_what_it_sets_off() {
    let world = World::new().await;
    plant_many_dead(&world).await;
    let (url, _) = world.operators().await;
    let as_operator = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    let dry = json(&world.run_with(&["requeue", "--state", "dead", "--since", "2h", "--dry-run", "--json"], &as_operator).await);
    assert_eq!((&dry["jobs"], &dry["exports"], &dry["dry_run"]), (&2500.into(), &2500.into(), &true.into()), "{dry}");
    assert_eq!(world.count("select count(*) from exportbox.jobs where state = 'dead'").await, 2500);

    let some = json(&world.run_with(&["requeue", "--error-class", "timeout", "--limit", "1100", "--json"], &as_operator).await);
    assert_eq!(some["jobs"], 1100, "{some}");
    let spread = &["requeue", "--state", "dead", "--kind", "export", "--spread", "10m"];
    let rest = world.run_with(spread, &as_operator).await;
    assert_eq!((code(&rest), stdout(&rest)), (0, "1,400 jobs of 1,400 exports requeued\n".into()), "{}", stderr(&rest));
    assert_eq!(world.count("select count(*) from exportbox.events where kind = 'requeued_where'").await, 4);
    // Of 1,400 over ten minutes about 140 in each; none before now, none after the end.
    let minutes = "select min(n) from (select count(*) as n from exportbox.jobs where state = 'pending' and run_at > now()
        group by floor(extract(epoch from run_at - now()) / 60) having floor(extract(epoch from run_at - now()) / 60) between 0 and 8) as m";
    assert!(world.count(minutes).await > 80);
    assert_eq!(world.count("select count(*) from exportbox.jobs where run_at > now() + interval '10 minutes'").await, 0);
    let nothing = world.run_with(spread, &as_operator).await;
    assert_eq!((code(&nothing), stdout(&nothing)), (1, "0 jobs of 0 exports requeued\n".into()));
    let cancelled = world.run_with(&["cancel", "--state", "pending"], &as_operator).await;
    assert_eq!(stdout(&cancelled), "2,500 jobs of 2,500 exports cancelled, or asked to stop\n", "{}", stderr(&cancelled));
}

#[tokio::test]
async fn what_dies_again_of_a_requeue_is_not_requeued_by_its_next_batch() {
    let world = World::new().await;
    plant_many_dead(&world).await;
    let operator = world.operator().await;
    let first = call(&operator, "requeue_where(state => 'dead')").await;
    assert_eq!((&first["jobs"], &first["more"]), (&1000.into(), &true.into()), "{first}");
    world.set_jobs("state = 'dead', finished_at = now(), error_class = 'query', error = 'Planted.'", "state = 'pending'").await;
    let until = first["until"].as_str().unwrap();
    for (jobs, more) in [(1000, true), (500, false), (0, false)] {
        let next = call(&operator, &format!("requeue_where(state => 'dead', until => '{until}')")).await;
        assert_eq!((&next["jobs"], &next["more"]), (&jobs.into(), &more.into()), "{next}");
    }
    assert_eq!(world.count("select count(*) from exportbox.jobs where state = 'dead'").await, 1000, "those that died again");
}

#[tokio::test]
async fn what_runs_is_asked_to_stop_once_and_what_waits_is_cancelled() {
    let world = World::new().await;
    let gate = world.gate().await;
    let runs = world.request(GATED, &[]).await;
    let daemon = world.start().await;
    world.until_at_gate(runs).await;
    let waits = world.request_with("select 1 as one", &[], "run_at => now() + interval '1 day'").await;
    let operator = world.operator().await;
    let said = call(&operator, "cancel_where(requested_by => 'app')").await;
    assert_eq!((&said["stopped"], &said["asked"], &said["exports"]), (&1.into(), &1.into(), &2.into()), "{said}");
    world.until_state(runs, "cancelled").await;
    assert_eq!(world.state(waits).await, "cancelled");
    gate.open().await;
    daemon.stop().await;

    let mut world = world;
    world.may_leave_running = true;
    plant(&world.admin, Kind::Export, State::Running).await;
    let jobs = async || call(&operator, "cancel_where(state => 'running')").await["jobs"].clone();
    assert_eq!((jobs().await, jobs().await), (1.into(), 0.into()), "asked already");
}

#[tokio::test]
async fn whoever_was_erased_stays_stopped_though_a_filter_names_the_job() {
    let world = World::new().await;
    let waiting = world.request("select 1 as one", &["ann@example.com"]).await;
    world.hold_deliveries().await;
    let mailed = world.request("select 2 as two", &["ann@example.com", "bob@example.com"]).await;
    world.set_jobs("run_at = now() + interval '1 hour'", &format!("export_id = '{waiting}'")).await;
    world.drain().await;
    let operator = world.operator().await;
    operator.execute("select exportbox.erase('ann@example.com')", &[]).await.unwrap();
    world.let_deliveries_go().await;
    world.complete(&[mailed]).await;
    assert_eq!(world.count("select count(*) from exportbox.jobs where state = 'cancelled'").await, 2);
    for dry_run in [true, false] {
        let said = call(&operator, &format!("requeue_where(state => 'cancelled', dry_run => {dry_run})")).await;
        assert_eq!((&said["jobs"], &said["more"]), (&0.into(), &false.into()), "{said}");
    }
}

#[tokio::test]
async fn a_requeue_that_has_waited_for_an_erasure_sees_it() {
    let world = World::new().await;
    let id = world.request("select nonsense", &["ann@example.com"]).await;
    world.drain().await;
    let (erasing, requeuing) = (world.another_admin().await, world.operator().await);
    for function in [format!("exportbox.requeue('{id}')::text"), "exportbox.requeue_where(state => 'dead')->>'jobs'".into()] {
        erasing.batch_execute("begin").await.unwrap();
        erasing.execute("select exportbox.erase('ann@example.com')", &[]).await.unwrap();
        let statement = format!("select {function}");
        let waiting = requeuing.query_one(&statement, &[]);
        let then = async {
            world.until("select exists (select from pg_stat_activity where query like 'select %exportbox.requeue%' and wait_event_type = 'Lock' and datname = current_database())").await;
            erasing.batch_execute("commit").await.unwrap();
        };
        let (row, ()) = tokio::join!(waiting, then);
        assert_eq!(row.unwrap().get::<_, &str>(0), "0", "{function}");
        assert_eq!(world.state(id).await, "dead");
        // Once more, for the other function.
        world.sql("delete from exportbox.erased_export").await;
        let request = "alter table exportbox.outbox disable trigger user; update exportbox.outbox set recipients = '{ann@example.com}'; alter table exportbox.outbox enable trigger user";
        world.sql(request).await;
    }
}

#[tokio::test]
async fn two_that_requeue_and_cancel_the_same_jobs_beside_busy_workers_end_in_no_deadlock() {
    let world = World::new().await;
    let insert = "insert into exportbox.outbox (query, recipients) select 'select ' || n, '{ann@example.com,bob@example.com}' from generate_series(1, 150) as n";
    world.app().await.batch_execute(insert).await.unwrap();
    let daemons = [world.start().await, world.start().await];
    let operators = [world.login("one", &["exportbox_operator"]).await, world.login("two", &["exportbox_operator"]).await];
    let single = world.app().await;
    let id: Uuid = world.row("select id from exportbox.outbox order by id desc limit 1", &[]).await.get(0);
    let by_filter = async |client: &Client, functions: [&str; 2]| {
        for _ in 0..25 {
            for function in functions {
                call(client, function).await;
            }
        }
    };
    let one_by_one = async {
        for _ in 0..50 {
            single.execute("select exportbox.cancel($1)", &[&id]).await.unwrap();
            single.execute("select exportbox.requeue($1)", &[&id]).await.unwrap();
        }
    };
    tokio::join!(
        by_filter(&operators[0], ["cancel_where(requested_by => 'app', at_most => 40)", "requeue_where(state => 'cancelled')"]),
        by_filter(&operators[1], ["requeue_where(requested_by => 'app')", "cancel_where(kind => 'delivery')"]),
        one_by_one
    );
    // Let everything come to its end.
    world.until("select not exists (select from exportbox.jobs where state = 'running' and cancel_requested_at is not null)").await;
    call(&operators[0], "requeue_where(state => 'cancelled')").await;
    world.until("select count(*) = 150 from exportbox.exports where state = 'completed'").await;
    for daemon in daemons {
        daemon.stop().await;
    }
    world.sql("select pg_stat_clear_snapshot()").await;
    assert_eq!(world.count("select deadlocks from pg_stat_database where datname = current_database()").await, 0);
    assert_eq!(world.count("select count(*) from exportbox.jobs where state not in ('completed', 'cancelled')").await, 0);
    world.assert_store_is_clean().await;
}

#[tokio::test]
async fn two_that_cancel_or_requeue_the_same_many_jobs_at_the_same_moment_wait_for_each_other_in_one_order() {
    let world = World::new().await;
    let insert =
        "insert into exportbox.outbox (query, run_at) select 'select ' || n, now() + interval '1 day' from generate_series(1, 600) as n";
    world.app().await.batch_execute(insert).await.unwrap();
    let (one, two) = (world.login("one", &["exportbox_operator"]).await, world.login("two", &["exportbox_operator"]).await);
    let holder = world.another_admin().await;
    for (by_one, by_two) in [
        ("cancel_where(requested_by => 'app')", "cancel_where(kind => 'export')"),
        ("requeue_where(kind => 'export')", "requeue_where(state => 'cancelled')"),
    ] {
        // Both are held up in the midst of it, so that each holds what the other wants.
        hold_jobs(&holder, "true order by id offset 300 limit 1").await;
        let waiting = "select count(*) = 2 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let release = async {
            world.until(waiting).await;
            holder.batch_execute("commit").await.unwrap();
        };
        let (a, b, ()) = tokio::join!(call(&one, by_one), call(&two, by_two), release);
        assert_eq!(a["jobs"].as_i64().unwrap() + b["jobs"].as_i64().unwrap(), 600, "each job once: {a} {b}");
    }
}
