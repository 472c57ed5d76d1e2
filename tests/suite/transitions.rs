//! The state machine of `job/state.rs` against the statements and functions that move jobs: what the table lists happens, nothing else does.

use std::collections::BTreeSet;

use exportbox::job::{Kind, State, TRANSITIONS};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::harness::World;
use crate::harness::jobs::{Planted, everything, plant};
use crate::harness::rows::ATTEMPTS;
use crate::harness::statements::{Call, call, claim};

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

/// The verb's call. What has gone well is written for several at once.
fn called(verb: &'static str, job: Planted, token: Uuid) -> Call {
    let fenced = TRANSITIONS.iter().any(|transition| transition.verb == verb && transition.fenced);
    let quoted = |id: Uuid| format!("'{id}'::uuid");
    let call = match (call(verb.trim_start_matches("exportbox.")), fenced) {
        (call, true) if verb.starts_with("complete_") => {
            call.with("jobs", format!("array[{}]", quoted(job.id))).with("tokens", format!("array[{}]", quoted(token)))
        }
        (call, true) => call.with("job", quoted(job.id)).with("token", quoted(token)),
        (call, false) => call,
    };
    match verb {
        "claim" => claim(),
        "reap" => call.with_all(&[("grace", "90000"), ("export_attempts", "5"), ("message_attempts", "5"), ("hold_unknown", "false")]),
        "expire" => call,
        "exportbox.cancel" | "exportbox.requeue" => call.with("$1", quoted(job.export_id)),
        "complete_exports" => call
            .with("part_tokens", format!("array[{}]", quoted(token)))
            .with("part_keys", format!("array['exports/{token}/a.csv']"))
            .with_all(&[
                ("buckets", "'{exports}'"),
                ("rows", "'{3}'"),
                ("content_types", "'{text/csv}'"),
                ("filenames", "'{a.csv}'"),
                ("as_of", "array[now()]"),
                ("part_numbers", "'{1}'"),
                ("part_bytes", "'{10}'"),
                ("part_checksums", "'{null}'"),
            ]),
        "complete_messages" => call.with_all(&[
            ("providers", "'{ses}'"),
            ("message_ids", "'{message-1}'"),
            ("link_expires_at", "array[now()]"),
            ("link_cut_by", "'{null}'"),
        ]),
        "retry" => call.with_all(&[
            ("delay", "1000"),
            ("max_attempts", "5"),
            ("error_class", "'timeout'"),
            ("error", "'Planted.'"),
            ("error_detail", "null"),
            ("maybe_sent", "false"),
        ]),
        "bury" => call.with_all(&[("error_class", "'timeout'"), ("error", "'Planted.'"), ("error_detail", "null"), ("status", "'dead'")]),
        "release" => call.with_all(&[("delay", "1000"), ("error_class", "null"), ("error", "null"), ("error_detail", "null")]),
        "settle_cancelled" => call.with_all(&[("maybe_sent", "false"), ("error", "'Planted.'")]),
        other => panic!("no parameters for {other}"),
    }
}

/// Run the verb as the daemon does, with the daemon's rights.
async fn act(client: &Client, verb: &'static str, job: Planted, token: Uuid) {
    // What people order is theirs to order; the rest is the daemon's.
    if !verb.starts_with("exportbox.") {
        client.batch_execute("set local role exportbox_daemon").await.unwrap();
    }
    called(verb, job, token).run(client).await;
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
