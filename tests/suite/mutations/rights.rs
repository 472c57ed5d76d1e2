//! Who sees what: row filters, security barriers, masks and grants.

use super::Mutation;

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "everybody may see every request",
        file: "migrations/V3__operate.sql",
        search: "return requested_by = current_user or pg_has_role(",
        replace: "return true or pg_has_role(",
        tests: &[
            "door::rights::a_requester_sees_its_own_requests_and_none_of_others",
            "door::rights::an_equality_of_the_callers_own_shows_no_row_of_others",
        ],
    },
    Mutation {
        name: "who may see is read by the search path of whoever looks",
        file: "migrations/V3__operate.sql",
        search: "return requested_by = current_user or pg_has_role(current_user, 'exportbox_reader', 'usage');",
        replace: "as $$select requested_by = current_user or pg_has_role(current_user, 'exportbox_reader', 'usage')$$;",
        tests: &[
            "door::rights::an_equality_of_the_callers_own_shows_no_row_of_others",
            "rights::matrix::no_function_is_read_by_the_search_path_of_whoever_calls_it",
        ],
    },
    Mutation {
        name: "no address is masked",
        file: "migrations/V3__operate.sql",
        search: "left(address, 1) || '***@' || split_part(address, '@', 2)",
        replace: "address",
        tests: &["door::rights::readers_see_every_export_with_masked_addresses_and_operators_in_clear"],
    },
    Mutation {
        name: "everybody may cancel",
        file: "migrations/V3__operate.sql",
        search: "perform exportbox.assert_may_operate(cancel.export_id);",
        replace: "",
        tests: &["door::rights::requesters_stop_and_requeue_their_own_exports_and_operators_all"],
    },
    Mutation {
        name: "the view exports has no security barrier",
        file: "migrations/V4__views.sql",
        search: "create view exportbox.exports with (security_barrier) as",
        replace: "create view exportbox.exports as",
        tests: &["door::rights::a_function_of_the_callers_own_in_a_where_clause_sees_no_row_of_others"],
    },
    Mutation {
        name: "the view jobs has no security barrier",
        file: "migrations/V4__views.sql",
        search: "create view exportbox.jobs with (security_barrier) as",
        replace: "create view exportbox.jobs as",
        tests: &["door::rights::a_function_of_the_callers_own_in_a_where_clause_sees_no_row_of_others"],
    },
    Mutation {
        name: "the view attempts has no security barrier",
        file: "migrations/V4__views.sql",
        search: "create view exportbox.attempts with (security_barrier) as",
        replace: "create view exportbox.attempts as",
        tests: &["door::rights::a_function_of_the_callers_own_in_a_where_clause_sees_no_row_of_others"],
    },
    Mutation {
        name: "the view deliveries has no security barrier",
        file: "migrations/V4__views.sql",
        search: "create view exportbox.deliveries with (security_barrier) as",
        replace: "create view exportbox.deliveries as",
        tests: &["door::rights::a_function_of_the_callers_own_in_a_where_clause_sees_no_row_of_others"],
    },
    Mutation {
        name: "the view objects has no security barrier",
        file: "migrations/V4__views.sql",
        search: "create view exportbox.objects with (security_barrier) as",
        replace: "create view exportbox.objects as",
        tests: &["door::rights::a_function_of_the_callers_own_in_a_where_clause_sees_no_row_of_others"],
    },
    Mutation {
        name: "the view events has no security barrier",
        file: "migrations/V4__views.sql",
        search: "create view exportbox.events with (security_barrier) as",
        replace: "create view exportbox.events as",
        tests: &["door::rights::a_function_of_the_callers_own_in_a_where_clause_sees_no_row_of_others"],
    },
    Mutation {
        name: "the view reports has no security barrier",
        file: "migrations/V6__catalogue.sql",
        search: "create view exportbox.reports with (security_barrier) as",
        replace: "create view exportbox.reports as",
        tests: &["door::rights::a_function_of_the_callers_own_in_a_where_clause_sees_no_row_of_others"],
    },
    Mutation {
        name: "the view deliveries shows addresses in clear",
        file: "migrations/V4__views.sql",
        search: "then delivery.recipient else exportbox.mask(delivery.recipient) end as recipient",
        replace: "then delivery.recipient else delivery.recipient end as recipient",
        tests: &["door::rights::readers_see_every_export_with_masked_addresses_and_operators_in_clear"],
    },
    Mutation {
        name: "the view attempts shows the other side's words to everybody",
        file: "migrations/V4__views.sql",
        search: "case when pg_has_role(current_user, 'exportbox_operator', 'usage') then attempt.error_detail end as error_detail",
        replace: "attempt.error_detail as error_detail",
        tests: &[
            "door::rights::readers_see_every_export_with_masked_addresses_and_operators_in_clear",
            "exports::refused::the_servers_own_words_are_for_operators_alone",
        ],
    },
    Mutation {
        name: "the view objects asks nobody",
        file: "migrations/V4__views.sql",
        search: "join exportbox.outbox on outbox.id = object.export_id\nwhere exportbox.may_see(outbox.requested_by);",
        replace: "join exportbox.outbox on outbox.id = object.export_id;",
        tests: &["door::rights::a_requester_sees_its_own_requests_and_none_of_others"],
    },
    Mutation {
        name: "the view events asks nobody",
        file: "migrations/V4__views.sql",
        search: "where pg_has_role(current_user, 'exportbox_reader', 'usage') or outbox.requested_by = current_user;",
        replace: ";",
        tests: &["door::rights::a_requester_sees_its_own_requests_and_none_of_others"],
    },
    Mutation {
        name: "requesters may read all of the outbox's columns",
        file: "migrations/V5__roles.sql",
        search: "grant select (id, idempotency_key, requested_by) on",
        replace: "grant select on",
        tests: &[
            "rights::matrix::each_role_may_do_with_each_object_what_the_table_says_and_nothing_else",
            "door::rights::what_is_private_stays_private",
        ],
    },
    Mutation {
        name: "requesters may read the outbox's rows of others",
        file: "migrations/V5__roles.sql",
        search: "using (requested_by = current_user);",
        replace: "using (true);",
        tests: &["door::rights::a_requester_sees_its_own_requests_and_none_of_others"],
    },
    Mutation {
        name: "requesters may write requested_by",
        file: "migrations/V5__roles.sql",
        search: "subject, message, metadata) on exportbox.outbox to exportbox_requester",
        replace: "subject, message, requested_by) on exportbox.outbox to exportbox_requester",
        tests: &[
            "door::rights::a_requester_cannot_ask_in_another_name",
            "rights::matrix::each_role_may_do_with_each_object_what_the_table_says_and_nothing_else",
        ],
    },
    Mutation {
        name: "workers may write who and when into the history",
        file: "migrations/V5__roles.sql",
        search: "grant select, insert (export_id, job_id, kind, detail) on exportbox.event",
        replace: "grant select, insert on exportbox.event",
        tests: &[
            "rights::audit::a_worker_writes_history_in_its_own_name_only",
            "rights::matrix::each_role_may_do_with_each_object_what_the_table_says_and_nothing_else",
        ],
    },
    Mutation {
        name: "whoever may request may send queries",
        file: "migrations/V5__roles.sql",
        search: "grant exportbox_reader to exportbox_operator;",
        replace: "grant exportbox_reader to exportbox_operator; grant exportbox_adhoc to exportbox_requester;",
        tests: &[
            "rights::roles::a_master_user_who_is_no_superuser_makes_the_roles_and_a_second_database_finds_them",
            "door::rights::a_role_without_the_grants_may_not_ask",
        ],
    },
];
