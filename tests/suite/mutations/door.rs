//! What the door refuses. The defences that `docs/threats.md` names, like the lists beside this one.

use super::{Change, Mutation};

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "requested_by is what the request says",
        file: "sql/schema/20_door.sql",
        guard: "who asks",
        change: Change::Drop,
        harm: "a request in the name of another",
        tests: &["door::rights::a_requester_cannot_ask_in_another_name"],
    },
    Mutation {
        name: "anybody may send a query",
        file: "sql/schema/10_checks.sql",
        guard: "queries of their own",
        change: Change::Become("when false then 'adhoc'"),
        harm: "SQL of its own from a role that nobody allowed it",
        tests: &["door::rights::a_role_without_the_grants_may_not_ask"],
    },
    Mutation {
        name: "who asks is stamped only where nothing was said",
        file: "sql/schema/20_door.sql",
        guard: "stamp",
        change: Change::Become("for each row when (new.requested_by is null"),
        harm: "whoever may write the column asks in another's name",
        tests: &["door::rights::a_requester_cannot_ask_in_another_name"],
    },
    Mutation {
        name: "an address may be anything",
        file: "sql/schema/10_checks.sql",
        guard: "addresses",
        change: Change::Become("and false then 'address'"),
        harm: "two recipients, or a header, in one address",
        tests: &["security::injection::a_recipient_that_is_more_than_an_address_is_refused_at_the_door"],
    },
    Mutation {
        name: "a subject may hold control characters",
        file: "sql/schema/10_checks.sql",
        guard: "control characters",
        change: Change::Drop,
        harm: "one guard less between a text and the header of its mail",
        tests: &["door::refused::every_wrong_value_is_refused_by_insert_and_by_call_alike_and_leaves_nothing"],
    },
    Mutation {
        name: "a report gives as much time as the request asks for",
        file: "sql/schema/20_door.sql",
        guard: "timeout of the report",
        change: Change::Become("r.timeout,"),
        harm: "an export that is longer than meant",
        tests: &["reports::ceilings::a_request_gets_no_more_time_than_its_report_allows"],
    },
    Mutation {
        name: "the setting of an erasure opens a request to everybody",
        file: "sql/schema/20_door.sql",
        guard: "owner of the request",
        change: Change::Become("then"),
        harm: "whoever may update rewrites what was requested",
        tests: &["door::refused::a_request_never_changes_once_it_is_made"],
    },
];
