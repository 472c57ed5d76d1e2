//! What the door refuses. The defences that `docs/threats.md` names, like the lists beside this one.

use super::Mutation;

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "requested_by is what the request says",
        file: "sql/schema/20_door.sql",
        search: "new.requested_by := current_user;",
        replace: "",
        tests: &["door::rights::a_requester_cannot_ask_in_another_name"],
    },
    Mutation {
        name: "anybody may send a query",
        file: "sql/schema/10_checks.sql",
        search: "when request.report is null and not pg_has_role(request.requested_by, 'exportbox_adhoc', 'member') then",
        replace: "when false then",
        tests: &["door::rights::a_role_without_the_grants_may_not_ask"],
    },
    Mutation {
        name: "who asks is stamped only where nothing was said",
        file: "sql/schema/20_door.sql",
        search: "when (new.requested_by is distinct from current_user or",
        replace: "when (new.requested_by is null or",
        tests: &["door::rights::a_requester_cannot_ask_in_another_name"],
    },
    Mutation {
        name: "an address may be anything",
        file: "sql/schema/10_checks.sql",
        search: "and not exportbox.are_addresses(request.recipients) then 'address'",
        replace: "and false then 'address'",
        tests: &["security::injection::a_recipient_that_is_more_than_an_address_is_refused_at_the_door"],
    },
    Mutation {
        name: "a subject may hold control characters",
        file: "sql/schema/10_checks.sql",
        search: r"when length(request.subject) not between 1 and 200 or request.subject ~ '[\x01-\x1f\x7f-\x9f]' or",
        replace: "when",
        tests: &["door::refused::every_wrong_value_is_refused_by_insert_and_by_call_alike_and_leaves_nothing"],
    },
    Mutation {
        name: "a report gives as much time as the request asks for",
        file: "sql/schema/20_door.sql",
        search: "least(r.timeout, catalogued.timeout)",
        replace: "r.timeout",
        tests: &["reports::ceilings::a_request_gets_no_more_time_than_its_report_allows"],
    },
    Mutation {
        name: "the setting of an erasure opens a request to everybody",
        file: "sql/schema/20_door.sql",
        search: "\n        and pg_has_role(current_user, (select relowner from pg_class where oid = tg_relid), 'usage') then",
        replace: " then",
        tests: &["door::refused::a_request_never_changes_once_it_is_made"],
    },
];
