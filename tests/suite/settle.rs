//! What is done at the same time is written by one statement, and what is wrong with one of them is no matter of the others.

use exportbox::database::DatabaseError;
use exportbox::job::{Kind, Outcome, Receipt, State};
use exportbox::queue::Settled;
use futures_util::future::join_all;

use crate::harness::rows::hold_jobs;
use crate::harness::{World, stale};

#[tokio::test]
async fn exports_and_mails_that_are_done_at_once_are_written_at_once() {
    let world = World::new().await;
    world.sql("insert into exportbox.outbox (query, recipients) select 'select 1', '{ann@example.com}' from generate_series(1, 40)").await;
    let queue = world.queue("one");
    let exports = world.claim("one", 40, 0).await;
    let settled = join_all(exports.into_iter().map(|lease| {
        let manifest = world.made_by(&lease);
        queue.settle(lease, Outcome::Exported(manifest))
    }));
    assert!(settled.await.iter().all(|settled| *settled == Ok(Settled::Done(State::Completed))));
    assert_eq!(world.count("select count(*) from exportbox.objects").await, 40);
    assert!(world.transactions_that_completed(Kind::Export).await <= 2, "the first alone at most, then the rest");

    let mails = world.claim("one", 0, 40).await;
    let receipt = || Receipt { provider: "ses", message_id: "m".into(), link_expires_at: Some(chrono::Utc::now()), link_cut_by: None };
    let settled = join_all(mails.into_iter().map(|lease| queue.settle(lease, Outcome::Sent(receipt()))));
    assert!(settled.await.iter().all(|settled| *settled == Ok(Settled::Done(State::Completed))));
    assert_eq!(world.count("select count(*) from exportbox.deliveries where status = 'accepted'").await, 40);
    assert!(world.transactions_that_completed(Kind::Message).await <= 2);
}

#[tokio::test]
async fn of_those_that_are_settled_together_a_lost_lease_writes_nothing_and_the_others_all() {
    let world = World::new().await;
    let late = world.claimed("one", &[]).await;
    world.let_leases_lapse().await;
    world.reap().await;
    world.let_back_offs_end().await;
    let mut leases = world.claimed_many("one", 3).await;
    assert!(leases.iter().any(|lease| lease.job_id() == late.job_id()), "it is held anew");
    leases.push(late);
    let queue = world.queue("one");
    let lost = leases[3].token();
    let settled = join_all(leases.iter().map(|lease| queue.settle(stale(lease), Outcome::Exported(world.made_by(lease))))).await;
    let done = settled.iter().filter(|settled| **settled == Ok(Settled::Done(State::Completed))).count();
    assert_eq!((done, &settled[3]), (3, &Ok(Settled::LeaseLost)));
    assert_eq!(world.objects_of(lost).await, 0);
}

#[tokio::test]
async fn of_those_that_are_settled_together_one_that_is_refused_or_held_keeps_no_other_from_its_end() {
    let mut world = World::new().await;
    world.settings.policy.lease = std::time::Duration::from_secs(20);
    world.may_leave_running = true;
    let leases = world.claimed_many("one", 4).await;
    let queue = world.queue("one");
    // A key that is taken is refused by a constraint; a row that somebody holds is waited for.
    let taken = world.made_by(&leases[0]);
    let somebody = world.another_admin().await;
    hold_jobs(&somebody, &format!("export_id = '{}'", leases[3].export_id().unwrap())).await;
    let settle = |number: usize| {
        let mut manifest = world.made_by(&leases[number]);
        if number == 1 {
            manifest.parts.clone_from(&taken.parts);
        }
        queue.settle(stale(&leases[number]), Outcome::Exported(manifest))
    };
    let others = async {
        let settled = join_all([settle(0), settle(1), settle(2)]).await;
        somebody.batch_execute("rollback").await.unwrap();
        settled
    };
    let (settled, held) = tokio::join!(others, settle(3));
    assert_eq!((&settled[0], &settled[2]), (&Ok(Settled::Done(State::Completed)), &Ok(Settled::Done(State::Completed))));
    assert!(matches!(settled[1], Err(DatabaseError::Statement(_))), "{:?}", settled[1]);
    assert_eq!(held, Ok(Settled::Done(State::Completed)));
}
