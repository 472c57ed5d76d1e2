//! Retention: what is old enough goes with all that hangs on it and its files, and nothing goes that anybody still needs.

use std::time::Duration;

use exportbox::admin::Retention;
use exportbox::store::NewObject;
use exportbox::worker::{AbandonedUploads, NoticeOptions};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::World;
use crate::harness::process::{assert_gave_up, code, json, stdout};
use crate::harness::requests::refusal;
use crate::harness::rows::{change_mail_jobs, hold_jobs};
use crate::harness::statements::{call, next_due};

const DAY: Duration = Duration::from_secs(24 * 3600);
const ANN: &str = "ann@example.com";
/// Everything final that is older than a day.
const PRUNE: &str = "select exportbox.prune('1 day', '1 day', '1 day')";

fn days(completed: u32, dead: u32, cancelled: u32) -> Retention {
    Retention { completed: Some(DAY * completed), dead: Some(DAY * dead), cancelled: Some(DAY * cancelled), ..Retention::default() }
}

/// One export of each final state: completed with a mail and a file, dead, cancelled.
async fn one_of_each(world: &World) -> [Uuid; 3] {
    let cancelled = world.request("select 3 as three", &[]).await;
    world.cancel(cancelled).await;
    let completed = world.request("select 1 as one", &[ANN]).await;
    let dead = world.request("select nonsense", &[ANN]).await;
    world.drain().await;
    [completed, dead, cancelled]
}

#[tokio::test]
async fn a_mail_about_failures_goes_by_the_age_of_its_own_end() {
    let mut world = World::new().await;
    world.settings.work.notices = NoticeOptions::new(true, DAY, [], DAY);
    world.request("select nonsense", &[ANN]).await;
    world.drain().await;
    let left = "select count(*) from exportbox.notices";
    let prune = "select (exportbox.prune(completed => '1 day') ->> 'notices')::bigint";
    assert_eq!((world.count(left).await, world.count(prune).await), (1, 0));
    world.set_jobs("finished_at = finished_at - interval '2 days'", "export_id is null").await;
    assert_eq!((world.count(prune).await, world.count(left).await), (1, 0));
    assert_eq!(world.count("select count(*) from exportbox.attempts where kind = 'delivery'").await, 0, "with all that hangs on it");
    assert_eq!(world.count("select count(*) from exportbox.exports").await, 1);
}

async fn kept(world: &World, ids: &[Uuid]) -> Vec<bool> {
    let mut kept = Vec::new();
    for id in ids {
        kept.push(world.is_kept(*id).await);
    }
    kept
}

#[tokio::test]
async fn what_is_final_for_long_enough_goes_with_its_files_and_leaves_who_asked_for_it() {
    let mut world = World::new().await;
    let ids = one_of_each(&world).await;
    let young = world.request("select 4 as four", &[]).await;
    world.drain().await;
    for id in ids {
        world.age(id, 50).await;
    }
    world.settings.work.retention = days(40, 60, 70);
    world.let_chores_be_due().await;
    world.drain().await;
    assert_eq!(kept(&world, &ids).await, [false, true, true], "each state has its age");
    world.settings.work.retention = days(40, 40, 40);
    world.drain().await;
    assert_eq!(kept(&world, &ids).await, [false, true, true], "one process does it, now and then");
    world.let_chores_be_due().await;
    world.drain().await;
    assert_eq!(kept(&world, &ids).await, [false, false, false]);
    assert!(world.is_kept(young).await);
    // Files follow, and are forgotten then.
    let files = world.s3.objects("exports").await.unwrap();
    assert!(files.len() == 1 && files[0].0.contains(&young.to_string()), "{files:?}");
    assert_eq!(world.count("select count(*) from exportbox.leftover").await, 0);
    assert_eq!(world.rows_of("attempt").await, 1);
    // The audit says that it was and who had asked.
    let said = "select string_agg(distinct detail, '') from exportbox.audit where what = 'pruned'";
    assert!(world.text(said).await.starts_with("requested by app at "));
    assert_eq!(world.count("select count(*) from exportbox.events where kind = 'pruned'").await, 3);
    assert_eq!(world.count(&format!("select count(*) from exportbox.events where kind = 'dead' and export_id = '{}'", ids[1])).await, 0);
}

/// What is done to an old export: to rows of its own, or by a statement that calls it `$id`.
#[derive(Debug, Clone, Copy)]
enum Change {
    Mail(&'static str),
    MailJob(&'static str),
    Attempts(&'static str),
    Sql(&'static str),
}

impl Change {
    async fn apply(self, world: &World, id: Uuid) {
        match self {
            Change::Mail(set) => world.set_deliveries(id, set).await,
            Change::MailJob(set) => world.set_mail_jobs(id, set).await,
            Change::Attempts(set) => world.set_attempts(set, &format!("object_key is not null and export_id = '{id}'")).await,
            Change::Sql(statement) => world.sql(&statement.replace("$id", &format!("'{id}'"))).await,
        }
    }
}

const NO_HOLD: Change = Change::Sql("delete from exportbox.legal_hold");

/// What keeps an old export, how it comes to be so, and how it ends.
const KEEPS: [(&str, &[Change], Change); 8] = [
    ("a link that was promised", &[Change::Mail("link_expires_at = now() + interval '1 hour'")], Change::Mail("link_expires_at = now()")),
    (
        "a mail that waits",
        &[Change::MailJob("state = 'pending', finished_at = null, run_at = 'infinity'")],
        Change::MailJob("state = 'completed', finished_at = now() - interval '9 days'"),
    ),
    (
        "a mail that is final since yesterday",
        &[Change::MailJob("finished_at = now()")],
        Change::MailJob("finished_at = now() - interval '9 days'"),
    ),
    (
        "an attempt that is not swept for the last time",
        &[Change::Attempts("outcome = 'retried', sweep_after = now() + interval '1 hour'")],
        Change::Attempts("sweep_after = 'infinity'"),
    ),
    ("a legal hold on it", &[Change::Sql("select exportbox.place_legal_hold('case 7', export_id => $id)")], NO_HOLD),
    ("a legal hold on its recipient", &[Change::Sql("select exportbox.place_legal_hold('case 7', address => 'ANN@example.com')")], NO_HOLD),
    (
        "a legal hold on whom a new link was sent to",
        &[
            Change::Mail("recipient = 'held@example.com'"),
            Change::Sql("select exportbox.place_legal_hold('case 7', address => 'held@example.com')"),
        ],
        NO_HOLD,
    ),
    (
        "being dead, which is kept for longer",
        &[Change::MailJob("state = 'dead', error_class = 'planted', error = 'Planted.'")],
        Change::MailJob("state = 'completed'"),
    ),
];

#[tokio::test]
async fn nothing_goes_that_anybody_still_needs_and_it_keeps_no_other() {
    let world = World::new().await;
    let prune = PRUNE.replace("'1 day', '1 day', '1 day'", "'1 day', '90 days', '1 day'");
    for (what, keep, end) in KEEPS {
        let (needed, other) = (world.request("select 1 as one", &[ANN]).await, world.request("select 2 as two", &[]).await);
        world.complete(&[needed, other]).await;
        for id in [needed, other] {
            world.age(id, 9).await;
        }
        for change in keep {
            change.apply(&world, needed).await;
        }
        world.sql(&prune).await;
        assert_eq!(kept(&world, &[needed, other]).await, [true, false], "{what}");
        end.apply(&world, needed).await;
        world.sql(&prune).await;
        assert_eq!(kept(&world, &[needed]).await, [false], "{what} has ended");
    }
}

#[tokio::test]
async fn an_export_that_somebody_works_on_is_passed_over_and_not_waited_for() {
    let world = World::new().await;
    let ids = [world.request("select 1 as one", &[ANN]).await, world.request("select 2 as two", &[ANN]).await];
    world.complete(&ids).await;
    for id in ids {
        world.age(id, 9).await;
    }
    let other = world.another_admin().await;
    hold_jobs(&other, &format!("export_id = '{}' and kind = 'message'", ids[0])).await;
    world.sql(&format!("set lock_timeout = '10s'; {PRUNE}")).await;
    assert_eq!(kept(&world, &ids).await, [true, false]);
    // It is brought back meanwhile.
    other.batch_execute(&format!("{}; commit", change_mail_jobs(ids[0], "state = 'pending', finished_at = null"))).await.unwrap();
    world.sql(PRUNE).await;
    assert_eq!(kept(&world, &ids).await, [true, false]);
}

#[tokio::test]
async fn what_many_processes_prune_at_once_is_pruned_once() {
    let mut world = World::new().await;
    let ids = world.request_many(40, "select 1 as one").await;
    world.complete(&ids).await;
    world.set_jobs("finished_at = now() - interval '9 days'", "true").await;
    world.settings.work.retention = days(1, 1, 1);
    world.let_chores_be_due().await;
    futures_util::future::join_all((0..6).map(|_| world.drain())).await;
    world.let_chores_be_due().await;
    world.drain().await;
    assert_eq!(world.count("select count(*) from exportbox.outbox").await, 0);
    assert_eq!(world.count("select count(*) from exportbox.events where kind = 'pruned'").await, 40);
    assert_eq!(world.s3.objects("exports").await.unwrap(), []);
}

#[tokio::test]
async fn files_that_cannot_be_removed_now_are_removed_later() {
    use exportbox::sandbox::{Action, Rule};
    let mut world = World::new().await;
    let id = world.request("select 1 as one", &[]).await;
    world.complete(&[id]).await;
    world.age(id, 9).await;
    world.settings.work.retention = days(1, 1, 1);
    world.sql("update exportbox.chore set due_at = now() where name = 'prune'").await;
    world.s3.faults().add(Rule::on("DeleteObject", Action::error(403, "AccessDenied", "no")).times(1));
    world.drain().await;
    assert!(!world.is_kept(id).await);
    assert_eq!((world.s3.objects("exports").await.unwrap().len(), world.count("select count(*) from exportbox.leftover").await), (1, 1));
    assert_eq!(
        world.text("select (due_at <= now() + interval '1 minute')::text from exportbox.chore where name = 'leftovers'").await,
        "true"
    );
    world.let_chores_be_due().await;
    world.drain().await;
    assert_eq!((world.s3.objects("exports").await.unwrap().len(), world.count("select count(*) from exportbox.leftover").await), (0, 0));
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_rows_and_files_forgets_no_file() {
    for (failpoint, files, notes) in [("worker.pruned=return", 1, 1), ("worker.removed_leftovers=return", 0, 1)] {
        let _room = crate::harness::crash::room_for_a_crash().await;
        let world = World::new().await;
        let id = world.request("select 1 as one", &[]).await;
        world.complete(&[id]).await;
        world.age(id, 100).await;
        world.let_chores_be_due().await;
        world.crash(failpoint, &[("EXPORTBOX_KEEP_COMPLETED", "90d")]).await;
        let left =
            || async { (world.s3.objects("exports").await.unwrap().len(), world.count("select count(*) from exportbox.leftover").await) };
        assert_eq!((world.is_kept(id).await, left().await), (false, (files, notes)), "{failpoint}");
        assert_eq!(code(&world.run(&["drain"]).await), 0);
        assert_eq!(left().await, (0, 0), "{failpoint}");
    }
}

#[tokio::test]
async fn a_person_prunes_by_command_or_function_after_a_dry_run_and_never_by_accident() {
    let world = World::new().await;
    let ids = one_of_each(&world).await;
    for id in ids {
        world.age(id, 100).await;
    }
    let url = world.operator_url().await;
    let as_operator = [("EXPORTBOX_DATABASE_URL", url.as_str())];
    let prune = |more: &'static [&'static str]| {
        let (world, as_operator) = (&world, &as_operator);
        async move { world.run_with(&[&["prune"], more].concat(), as_operator).await }
    };
    // Nothing goes unasked.
    assert_gave_up(&prune(&[]).await, 2, &["--keep-completed"], "hunter2");
    let dry = json(&prune(&["--dry-run", "--json", "--keep-completed", "90d", "--keep-dead", "180d", "--keep-cancelled", "90d"]).await);
    assert_eq!(
        dry,
        json!({"exports": 2, "completed": 1, "dead": 0, "cancelled": 1, "files": 1, "bytes": dry["bytes"], "notices": 0, "dry_run": true})
    );
    assert_eq!(kept(&world, &ids).await, [true, true, true]);
    assert!(
        stdout(&prune(&["--keep-completed", "forever", "--keep-cancelled", "90d"]).await)
            .starts_with("pruned 1 export (0 completed, 0 dead, 1 cancelled)")
    );
    assert_eq!(kept(&world, &ids).await, [true, true, false]);
    let operator = world.operator().await;
    for wrong in ["exportbox.prune()", "exportbox.prune(completed => '-1 day')", "exportbox.prune('1 day', most => 0)"] {
        assert_eq!(refusal(&operator, &format!("select {wrong}")).await.code, "EB085", "{wrong}");
    }
    let said: Value = operator.query_one("select exportbox.prune(completed => '90 days', dead => '90 days')", &[]).await.unwrap().get(0);
    assert_eq!((&said["exports"], &said["files"]), (&json!(2), &json!(1)), "{said}");
    assert_eq!(kept(&world, &ids).await, [false, false, false]);
    let who = "select string_agg(distinct split_part(actor, '_', 1), ' ') from exportbox.events where kind = 'pruned'";
    assert_eq!(world.text(who).await, "dba operator");
    // The file goes with the next process that looks.
    world.drain().await;
    assert_eq!(world.s3.objects("exports").await.unwrap(), []);
    for client in [world.app().await, world.login("reader", &["exportbox_reader"]).await] {
        assert_eq!(refusal(&client, PRUNE).await.code, "42501");
    }
    assert_eq!(refusal(&world.daemons_own().await, "delete from exportbox.outbox").await.code, "42501", "only what is old enough");
}

#[tokio::test]
async fn files_are_left_to_the_lifecycle_rule_where_that_was_said() {
    let mut world = World::new().await;
    let id = world.request("select 1 as one", &[]).await;
    world.complete(&[id]).await;
    world.age(id, 9).await;
    world.settings.work.retention = Retention { leave_objects: true, ..days(1, 1, 1) };
    world.let_chores_be_due().await;
    world.drain().await;
    assert!(!world.is_kept(id).await);
    assert_eq!((world.s3.objects("exports").await.unwrap().len(), world.count("select count(*) from exportbox.leftover").await), (1, 0));
}

#[tokio::test]
async fn uploads_that_nobody_finished_are_aborted_but_those_of_attempts_that_live_and_of_others_stay() {
    let mut world = World::new().await;
    let lease = world.claimed("alive", &[]).await;
    let begin = |key: String| {
        let store = world.store();
        async move {
            store.begin(&NewObject { key: key.clone(), content_type: "text/csv".into(), ..NewObject::default() }).await.unwrap();
            key
        }
    };
    let (export, token) = (Uuid::new_v4(), Uuid::new_v4());
    let abandoned = begin(format!("exports/sums/{export}/{token}/a.csv")).await;
    let alive = begin(format!("exports/{}/{}/a.csv", lease.export_id().unwrap(), lease.token().0)).await;
    let foreign = begin(format!("exports/{export}/a.csv")).await;
    let elsewhere = begin(format!("others/{export}/{token}/a.csv")).await;
    for (age, left) in [(DAY, [true, true, true, true]), (Duration::ZERO, [false, true, true, true])] {
        world.settings.work.abandoned_uploads = Some(AbandonedUploads { prefix: "exports".into(), age });
        world.let_chores_be_due().await;
        world.drain().await;
        let open = world.s3.open_uploads().await;
        assert_eq!([&abandoned, &alive, &foreign, &elsewhere].map(|key| open.iter().any(|upload| upload.key == *key)), left, "{age:?}");
    }
    world.may_leave_running = true;
}

/// Schedules that are not due, numbered from so many to so many.
const SCHEDULES: &str = "insert into exportbox.schedule (name, cron, time_zone, requester, report, next_due_at)
        select 'of-' || n, '0 6 * * *', 'UTC', 'app', 'orders', now() + n * interval '1 hour' from generate_series($from, $to, 20) as n";

#[tokio::test]
async fn looking_for_what_is_old_enough_or_due_costs_the_same_beside_a_long_history() {
    let world = World::new().await;
    let mut first = Vec::new();
    for (from, to) in [(1, 1000), (1001, 100_000)] {
        let (class, error) = ("case when n % 100 = 0 then 'query' end", "case when n % 100 = 0 then 'Planted.' end");
        let state = "case when n % 100 = 0 then 'dead' else 'completed' end";
        let finished = format!("now() - (n + {}) * interval '1 minute'", from - 1);
        let values = format!("'export', {state}, now(), {finished}, {class}, {error}");
        world.plant_jobs(to + 1 - from, "kind, state, started_at, finished_at, error_class, error", &values).await;
        world.plant_rows(&SCHEDULES.replace("$from", &format!("{from}")).replace("$to", &format!("{to}"))).await;
        world.vacuum("analyze").await;
        let prune = call("prune").with("delete_objects", true).with("at_most", 200);
        let statements = [
            prune.clone().with_all(&[
                ("completed", "7776000000"),
                ("dead", "15552000000"),
                ("cancelled", "7776000000"),
                ("dry_run", "false"),
            ]),
            // All of it is old enough.
            prune.with_all(&[("completed", "60000"), ("dead", "60000"), ("cancelled", "60000"), ("dry_run", "true")]),
            call("due_schedules"),
            next_due(),
        ];
        for (place, statement) in statements.into_iter().enumerate() {
            // The first time the server reads its own catalogue.
            statement.pages(&world.admin).await;
            let pages = statement.pages(&world.admin).await;
            let before = *first.get(place).unwrap_or(&pages);
            assert!(pages <= before * 2 + 30, "{} reads {pages} pages, it was {before} beside a short one", statement.name);
            first.push(pages);
        }
    }
}
