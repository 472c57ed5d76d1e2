//! The list: what is taken away, and which tests go red. Short pieces of text, so that the code around them may change.

use super::Mutation;

const LATE_EXPORT: &[&str] = &["lease::a_late_worker_changes_nothing_of_an_export"];
const LATE_MAIL: &[&str] = &["lease::a_late_worker_changes_nothing_of_a_mail"];

/// The fence of a settling statement.
const fn unfenced(name: &'static str, file: &'static str, tests: &'static [&'static str]) -> Mutation {
    Mutation { name, file, search: "and job.lease_token = $2::uuid", replace: "and $2::uuid is not null", tests }
}

pub(super) const MUTATIONS: &[Mutation] = &[
    unfenced("complete_export does not name the lease token", "sql/complete_export.sql", LATE_EXPORT),
    unfenced("complete_delivery does not name the lease token", "sql/complete_delivery.sql", LATE_MAIL),
    unfenced("retry does not name the lease token", "sql/retry.sql", LATE_EXPORT),
    unfenced("release does not name the lease token", "sql/release.sql", LATE_EXPORT),
    unfenced("bury does not name the lease token", "sql/bury.sql", LATE_EXPORT),
    unfenced("settle_cancelled does not name the lease token", "sql/settle_cancelled.sql", LATE_EXPORT),
    Mutation {
        name: "heartbeat does not name the lease token",
        file: "sql/heartbeat.sql",
        search: "join beat on beat.job_id = job.id and beat.lease_token = job.lease_token",
        replace: "join beat on beat.job_id = job.id",
        tests: LATE_EXPORT,
    },
    Mutation {
        name: "the sending stamp does not name the lease token",
        file: "sql/record_sending.sql",
        search: "and job.lease_token = $1::uuid",
        replace: "",
        tests: LATE_MAIL,
    },
    Mutation {
        name: "claim takes the old token again",
        file: "sql/claim.sql",
        search: "lease_token = gen_random_uuid()",
        replace: "lease_token = md5('1')::uuid",
        tests: &["lease::a_late_worker_changes_nothing_of_an_export", "model::conformance::the_statements_do_what_the_model_does"],
    },
    Mutation {
        name: "claim waits for rows that are locked",
        file: "sql/claim.sql",
        search: "for update skip locked",
        replace: "for update",
        tests: &["claim::a_row_that_somebody_holds_is_stepped_over_without_waiting"],
    },
    Mutation {
        name: "claim does not lock",
        file: "sql/claim.sql",
        search: "for update skip locked",
        replace: "",
        tests: &["claim::sixteen_workers_claim_every_job_once"],
    },
    Mutation {
        name: "claim opens no attempt",
        file: "sql/claim.sql",
        search: "from claimed\n)",
        replace: "from claimed limit 0)",
        tests: &["model::conformance::the_statements_do_what_the_model_does"],
    },
    Mutation {
        name: "reap does not wait for the lease to expire",
        file: "sql/reap.sql",
        search: "and (job.lease_expires_at < now() or",
        replace: "and (true or",
        tests: &["lease::a_lost_lease_goes_back_unrefunded_and_the_third_is_death"],
    },
    Mutation {
        name: "reap does not look at the deadline",
        file: "sql/reap.sql",
        search: "or job.deadline_at + $1::bigint * interval '1 millisecond' < now())",
        replace: "or $1::bigint is null)",
        tests: &["lease::a_worker_that_beats_but_overran_its_deadline_loses_its_job_to_a_timeout_not_a_crash"],
    },
    Mutation {
        name: "reap forgets that a mail may have been sent",
        file: "sql/reap.sql",
        search: "delivery.status = 'sending' as maybe_sent",
        replace: "false as maybe_sent",
        tests: &[
            "lease::a_mail_that_may_have_been_sent_is_unknown_and_sent_again",
            "model::conformance::the_statements_do_what_the_model_does",
        ],
    },
    Mutation {
        name: "reap does not close the attempt",
        file: "sql/reap.sql",
        search: "where attempt.lease_token = reaped.lease_token",
        replace: "where attempt.lease_token is null",
        tests: &["transitions::whatever_ends_a_lease_closes_its_attempt", "model::conformance::the_statements_do_what_the_model_does"],
    },
    Mutation {
        name: "reap overlooks a cancel",
        file: "sql/reap.sql",
        search: "job.cancel_requested_at is not null as cancelled",
        replace: "false as cancelled",
        tests: &["cancel::a_cancel_outlives_the_worker_that_should_have_heard_of_it"],
    },
    Mutation {
        name: "reap does not count crashes",
        file: "sql/reap.sql",
        search: "crashes = job.crashes + verdict.crashed::int",
        replace: "crashes = job.crashes",
        tests: &["lease::a_lost_lease_goes_back_unrefunded_and_the_third_is_death"],
    },
    Mutation {
        name: "a mail is not stamped before its provider is called",
        file: "sql/record_sending.sql",
        search: "set status = 'sending'",
        replace: "set status = 'pending'",
        tests: &["lease::a_mail_that_may_have_been_sent_is_unknown_and_sent_again"],
    },
    Mutation {
        name: "complete_export overlooks a cancel",
        file: "sql/complete_export.sql",
        search: "set state = case when job.cancel_requested_at is null then 'completed' else 'cancelled' end,",
        replace: "set state = 'completed', cancel_requested_at = null,",
        tests: &["cancel::an_export_that_was_cancelled_just_before_it_was_done_mails_nothing_and_keeps_nothing"],
    },
    Mutation {
        name: "the heartbeat does not hear of a cancel",
        file: "sql/heartbeat.sql",
        search: "job.cancel_requested_at is not null as cancel_requested",
        replace: "false as cancel_requested",
        tests: &["cancel::cancelling_ends_a_running_query_within_seconds_although_the_next_heartbeat_is_far"],
    },
    Mutation {
        name: "what completed is swept too",
        file: "sql/unswept.sql",
        search: "and attempt.outcome <> 'completed'",
        replace: "",
        tests: &["outage::an_export_whose_completion_was_written_but_not_heard_of_is_never_swept"],
    },
    Mutation {
        name: "a backend is ended by its pid alone",
        file: "sql/end_backend.sql",
        search: "and coalesce(pg_stat_activity.backend_start, $2::timestamptz) = $2::timestamptz",
        replace: "and $2::timestamptz is not null",
        tests: &["lease::a_reaped_exports_query_is_ended_on_its_server_and_a_strangers_is_not"],
    },
    Mutation {
        name: "the object key has no lease token",
        file: "src/job/key.rs",
        search: "{export_id}/{token}/\"",
        replace: "{export_id}/{export_id}/\"",
        tests: &["guards::a_late_attempt_stores_beside_the_file_that_won_and_what_it_stored_is_swept"],
    },
    Mutation {
        name: "a worker publishes whatever its own clock says",
        file: "src/job/attempt.rs",
        search: "self.stop.reason().is_none() && self.clock.is_held()",
        replace: "true",
        tests: &["guards::a_worker_whose_own_clock_has_run_out_publishes_nothing"],
    },
    Mutation {
        name: "the worker's own clock is later than the lease",
        file: "src/job/attempt.rs",
        search: "holds_for: lease * 2 / 3",
        replace: "holds_for: lease * 3 / 2",
        tests: &["outage::a_worker_that_cannot_beat_stops_before_its_lease_ends"],
    },
    Mutation {
        name: "no timer ends an attempt at its deadline",
        file: "src/worker/attempt.rs",
        search: "stop.ask(StopReason::Deadline);",
        replace: "drop(stop);",
        tests: &["guards::an_attempt_that_hangs_in_the_store_ends_at_its_deadline"],
    },
    Mutation {
        name: "the courier calls before it stamps",
        file: "src/delivery/mod.rs",
        search: "attempt.note(Note::Sending).await",
        replace: "Ok::<(), Failure>(drop(Note::Sending))",
        tests: &["guards::while_a_provider_is_being_called_the_delivery_says_that_it_may_be_sent"],
    },
    Mutation {
        name: "a schedule is requested whatever was planned",
        file: "migrations/V12__schedules.sql",
        search: "s.next_due_at = coalesce(planned, '-infinity')",
        replace: "true",
        tests: &["schedules::due::each_instant_is_requested_once_however_many_processes_look"],
    },
    Mutation {
        name: "a schedule is for whomever one names",
        file: "migrations/V12__schedules.sql",
        search: "pg_has_role(exportbox.acting_role(), pg_roles.oid, 'member')",
        replace: "true",
        tests: &["schedules::who::nobody_schedules_for_a_role_that_he_could_not_request_as"],
    },
    Mutation {
        name: "the stamp of schedules works for everybody",
        file: "migrations/V2__door.sql",
        search: "if pg_has_role(current_user, (select relowner from pg_class where oid = tg_relid), 'usage') then\n            new",
        replace: "if true then\n            new",
        tests: &["schedules::who::neither_the_worker_nor_a_requester_can_ask_in_anothers_name"],
    },
    Mutation {
        name: "retention overlooks a promised link",
        file: "migrations/V13__retention.sql",
        search: "and delivery.link_expires_at > now()",
        replace: "and false",
        tests: &["retention::nothing_goes_that_anybody_still_needs_and_it_keeps_no_other"],
    },
    Mutation {
        name: "retention overlooks the other jobs",
        file: "migrations/V13__retention.sql",
        search: "(other.finished_at <= wanted.since) is not true",
        replace: "false",
        tests: &["retention::nothing_goes_that_anybody_still_needs_and_it_keeps_no_other"],
    },
    Mutation {
        name: "retention forgets the files",
        file: "migrations/V13__retention.sql",
        search: "    if delete_objects then\n",
        replace: "    if false then\n",
        tests: &["retention::what_is_final_for_long_enough_goes_with_its_files_and_leaves_who_asked_for_it"],
    },
];
