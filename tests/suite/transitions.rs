//! The state machine of `job/state.rs` against the statements and functions that move jobs: what the table lists happens, nothing else does.

use std::collections::BTreeSet;

use exportbox::job::{Kind, State, TRANSITIONS};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::harness::World;
use crate::harness::jobs::{Planted, everything, plant, statement};
use crate::harness::rows::ATTEMPTS;

/// What may be true of a job before a verb comes, beside its state: what is set of a planted job, and in which state.
const CIRCUMSTANCES: &[(&str, &str, Option<State>)] = &[
    ("nothing special", "", None),
    ("its not_after has passed", "not_after = now()", Some(State::Pending)),
    ("it is for later", "run_at = now() + interval '1 hour'", Some(State::Pending)),
    ("cancel was asked for", "cancel_requested_at = now()", Some(State::Running)),
    ("its attempts are used up", "attempt = 5", None),
    ("its lease has expired", "lease_expires_at = now() - interval '1 s'", Some(State::Running)),
    ("its lease has expired for the third time", "lease_expires_at = now() - interval '1 s', crashes = 2", Some(State::Running)),
    ("its lease has expired with its attempts used up", "lease_expires_at = now() - interval '1 s', attempt = 5", Some(State::Running)),
    (
        "its lease has expired after a cancel",
        "lease_expires_at = now() - interval '1 s', cancel_requested_at = now()",
        Some(State::Running),
    ),
    ("its deadline is long past", "deadline_at = now() - interval '1 day'", Some(State::Running)),
    ("its deadline has just passed", "deadline_at = now() - interval '1 s'", Some(State::Running)),
];

fn verbs() -> BTreeSet<&'static str> {
    TRANSITIONS.iter().map(|transition| transition.verb).collect()
}

fn serves(verb: &str, kind: Kind) -> bool {
    match verb {
        "complete_exports" => kind == Kind::Export,
        "complete_messages" => kind == Kind::Message,
        _ => true,
    }
}

/// Run the verb as the daemon does, with the daemon's rights.
async fn act(client: &Client, verb: &str, job: Planted, token: Uuid) {
    let text = statement(verb.trim_start_matches("exportbox."));
    let (class, sentence, none) = ("timeout", "Planted.", None::<String>);
    let keys = (vec![format!("exports/{token}/a.csv")], vec![10_i64], vec![none.clone()]);
    let now = chrono::Utc::now();
    let marks = (vec![None::<chrono::DateTime<chrono::Utc>>; 20], vec![Uuid::nil(); 20]);
    let single: [&(dyn ToSql + Sync); 2] = [&job.id, &token];
    // What has gone well is written for several at once.
    let one = (vec![job.id], vec![token]);
    let several: [&(dyn ToSql + Sync); 2] = [&one.0, &one.1];
    let settle = if verb.starts_with("complete_") { several } else { single };
    let (exports, first, types, filenames, nows) =
        ((vec!["exports"], vec![3_i64]), vec![1_i32], vec!["text/csv"], vec!["a.csv"], vec![now]);
    let (providers, messages, nones) = (vec!["ses"], vec!["message-1"], vec![None::<String>]);
    let more: Vec<&(dyn ToSql + Sync)> = match verb {
        "claim" => {
            let of_claim: [&(dyn ToSql + Sync); 8] = [&4_i32, &4_i32, &"worker", &90_000_i64, &3_600_000_i64, &300_000_i64, &5_i16, &5_i16];
            let from_the_start: [&(dyn ToSql + Sync); 5] = [&marks.0, &marks.1, &true, &None::<i32>, &None::<i64>];
            of_claim.into_iter().chain(from_the_start).collect()
        }
        "reap" => vec![&90_000_i64, &5_i16, &5_i16, &false],
        "expire" => vec![],
        "exportbox.cancel" | "exportbox.requeue" => vec![&job.export_id],
        "complete_exports" => vec![&exports.0, &exports.1, &types, &filenames, &nows, &one.1, &first, &keys.0, &keys.1, &keys.2],
        "complete_messages" => vec![&providers, &messages, &nows, &nones],
        "retry" => vec![&1000_i64, &5_i16, &class, &sentence, &none, &false],
        "bury" => vec![&class, &sentence, &none, &"dead"],
        "release" => vec![&1000_i64, &none, &none, &none],
        "settle_cancelled" => vec![&false, &sentence],
        other => panic!("no parameters for {other}"),
    };
    let fenced = TRANSITIONS.iter().any(|transition| transition.verb == verb && transition.fenced);
    let params: Vec<&(dyn ToSql + Sync)> = if fenced { settle.into_iter().chain(more).collect() } else { more };
    // What people order is theirs to order; the rest is the daemon's.
    if !verb.starts_with("exportbox.") {
        client.batch_execute("set local role exportbox_daemon").await.unwrap();
    }
    client.query(text, &params).await.unwrap_or_else(|error| panic!("{verb}: {error:?}"));
    client.batch_execute("reset role").await.unwrap();
}

async fn state(client: &Client, job: Planted) -> State {
    let row = client.query_one("select state from exportbox.jobs where id = $1", &[&job.id]).await.unwrap();
    State::parse(row.get(0)).unwrap()
}

#[tokio::test]
async fn each_verb_leads_from_each_state_to_exactly_the_states_of_the_table() {
    let world = World::new().await;
    let client = &world.admin;
    for kind in [Kind::Export, Kind::Message] {
        for verb in verbs().into_iter().filter(|verb| serves(verb, kind)) {
            for from in State::ALL {
                let mut reached = BTreeSet::new();
                for (circumstance, set, of) in CIRCUMSTANCES {
                    client.batch_execute("begin").await.unwrap();
                    let job = plant(client, kind, from).await;
                    if !set.is_empty() && of.is_none_or(|state| state == from) {
                        world.set_jobs(set, &format!("id = '{}'", job.id)).await;
                    }
                    let before = everything(client).await;
                    act(client, verb, job, job.token).await;
                    let to = state(client, job).await;
                    if to != from {
                        reached.insert(to.as_str());
                    } else if verb == "exportbox.cancel" && from == State::Running {
                        let asked = "select cancel_requested_at is not null from exportbox.jobs where id = $1";
                        assert!(client.query_one(asked, &[&job.id]).await.unwrap().get::<_, bool>(0), "cancel left no flag");
                    } else {
                        assert_eq!(everything(client).await, before, "{verb} changed a {from} {} ({circumstance})", kind.as_str());
                    }
                    client.batch_execute("rollback").await.unwrap();
                }
                let listed: BTreeSet<&str> = TRANSITIONS
                    .iter()
                    .filter(|transition| transition.verb == verb && transition.from == from)
                    .flat_map(|transition| transition.to.iter().map(|to| to.as_str()))
                    .collect();
                assert_eq!(reached, listed, "{verb} from {from} ({})", kind.as_str());
            }
        }
    }
}

#[tokio::test]
async fn a_settle_that_names_another_token_changes_nothing_at_all() {
    let world = World::new().await;
    let client = &world.admin;
    for kind in [Kind::Export, Kind::Message] {
        for transition in TRANSITIONS.iter().filter(|transition| transition.fenced && serves(transition.verb, kind)) {
            client.batch_execute("begin").await.unwrap();
            let job = plant(client, kind, State::Running).await;
            let neighbour = plant(client, kind, State::Running).await;
            let before = everything(client).await;
            for stranger in [Uuid::new_v4(), neighbour.token] {
                act(client, transition.verb, job, stranger).await;
                assert_eq!(everything(client).await, before, "{} with a stranger's token", transition.verb);
            }
            // The right token, so that the refusals above prove something.
            act(client, transition.verb, job, job.token).await;
            assert!(transition.to.contains(&state(client, job).await), "{}", transition.verb);
            assert_eq!(state(client, neighbour).await, State::Running, "{} touched a neighbour", transition.verb);
            client.batch_execute("rollback").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_settled_lease_cannot_be_settled_again() {
    let world = World::new().await;
    let client = &world.admin;
    let fenced = || TRANSITIONS.iter().filter(|transition| transition.fenced).map(|transition| transition.verb);
    for kind in [Kind::Export, Kind::Message] {
        for first in fenced().filter(|verb| serves(verb, kind)) {
            client.batch_execute("begin").await.unwrap();
            let job = plant(client, kind, State::Running).await;
            act(client, first, job, job.token).await;
            let settled = everything(client).await;
            for second in fenced().filter(|verb| serves(verb, kind)) {
                act(client, second, job, job.token).await;
                assert_eq!(everything(client).await, settled, "{second} after {first}");
            }
            client.batch_execute("rollback").await.unwrap();
        }
    }
}

#[tokio::test]
async fn whatever_ends_a_lease_closes_its_attempt() {
    let world = World::new().await;
    let client = &world.admin;
    for kind in [Kind::Export, Kind::Message] {
        for transition in TRANSITIONS.iter().filter(|transition| transition.from == State::Running && serves(transition.verb, kind)) {
            client.batch_execute("begin").await.unwrap();
            let job = plant(client, kind, State::Running).await;
            world.let_leases_lapse().await;
            act(client, transition.verb, job, job.token).await;
            let closed = format!("select finished_at is not null and outcome is not null from {ATTEMPTS} where lease_token = $1");
            assert!(client.query_one(&closed, &[&job.token]).await.unwrap().get::<_, bool>(0), "{}", transition.verb);
            client.batch_execute("rollback").await.unwrap();
        }
    }
}
