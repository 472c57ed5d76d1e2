//! What the program itself keeps: rights and end of an export's transaction, files, logs.

use super::Mutation;

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "an export may write",
        file: "sql/begin_export.sql",
        search: "repeatable read read only",
        replace: "repeatable read",
        tests: &[
            "exports::refused::nothing_that_writes_gets_through",
            "exports::escape::whatever_tries_to_get_out_dies_and_has_changed_nothing",
        ],
    },
    Mutation {
        name: "an export keeps the login's rights",
        file: "sql/open_export.sql",
        search: "set_config('role', $1::text, true)",
        replace: "$1::text",
        tests: &[
            "door::catalogue::a_report_runs_with_the_rights_of_its_role_and_the_values_of_its_request",
            "exports::queries::a_query_runs_with_the_rights_of_its_requester",
            "sealed::an_ad_hoc_query_never_gets_the_workers_aws_s3",
        ],
    },
    Mutation {
        name: "an export has no time limit of the server's",
        file: "sql/open_export.sql",
        search: "set_config('statement_timeout', $2::text, true),",
        replace: "$2::text,",
        tests: &["exports::escape::what_is_set_for_a_query_is_as_documented"],
    },
    Mutation {
        name: "cells are not guarded",
        file: "src/source/shape.rs",
        search: "formula_guard.unwrap_or(job.recipients > 0)",
        replace: "formula_guard.unwrap_or(false)",
        tests: &[
            "security::files::no_cell_of_a_mailed_csv_runs_and_each_reads_as_documented",
            "security::files::the_guard_is_on_for_mailed_csv_unless_the_request_says_otherwise",
        ],
    },
    Mutation {
        name: "headings are not guarded",
        file: "src/source/shape.rs",
        search: "let heading = quote_identifier(&guarded_heading(&column.name));",
        replace: "let heading = quote_identifier(&column.name);",
        tests: &["exports::guard::a_heading_is_guarded_though_no_cell_needs_it"],
    },
    Mutation {
        name: "a file keeps the name that was wished for",
        file: "src/job/filename.rs",
        search: "if is_unsafe(c) { '_' } else { c }",
        replace: "c",
        tests: &["security::files::a_download_is_saved_under_a_name_that_is_safe_on_every_system"],
    },
    Mutation {
        name: "the lines of other crates are logged",
        file: "src/telemetry.rs",
        search: r#"filter_fn(|line| line.target().starts_with("exportbox") || *line.level() <= tracing::Level::WARN)"#,
        replace: "filter_fn(|_: &tracing::Metadata<'_>| true)",
        tests: &["security::canary::no_canary_shows_anywhere_though_the_log_is_talkative"],
    },
    Mutation {
        name: "a panic is logged with its message",
        file: "src/telemetry.rs",
        search: r#"tracing::error!(at, "exportbox"#,
        replace: r#"tracing::error!(at, said, "exportbox"#,
        tests: &["security::canary::a_panic_says_where_and_nothing_of_what_was_being_handled"],
    },
    Mutation {
        name: "what others echo is kept as it is",
        file: "src/job/failure.rs",
        search: "hushed(&detail.to_string())",
        replace: "detail.to_string()",
        tests: &["security::canary::no_canary_shows_anywhere_though_the_log_is_talkative"],
    },
    Mutation {
        name: "an error of the job tables keeps its message",
        file: "src/queue/error.rs",
        search: "if NAMES_ONLY.iter().any(|class| code.starts_with(class)) {",
        replace: "if !NAMES_ONLY.is_empty() {",
        tests: &["security::canary::what_the_job_tables_refuse_is_logged_without_its_data"],
    },
    Mutation {
        name: "aws_s3 is offered to whoever has the login",
        file: "sql/aws_s3_usable.sql",
        search: "has_schema_privilege(pg_namespace.oid, 'usage') and has_function_privilege(pg_proc.oid, 'execute')",
        replace: "has_schema_privilege(session_user, pg_namespace.oid, 'usage')",
        tests: &["sealed::an_ad_hoc_query_never_gets_the_workers_aws_s3"],
    },
    Mutation {
        name: "texts are not escaped in mails",
        file: "src/delivery/compose.rs",
        search: "    templates.set_undefined_behavior(UndefinedBehavior::Strict);",
        replace: "    templates.set_undefined_behavior(UndefinedBehavior::Strict);\n    templates.set_auto_escape_callback(|_| minijinja::AutoEscape::None);",
        tests: &[
            "mail::compose::words_of_the_request_are_data_in_both_bodies",
            "security::injection::no_text_of_a_request_changes_the_mail_that_carries_it",
        ],
    },
    Mutation {
        name: "EXPORTBOX_SOURCE_FOR is overlooked",
        file: "src/source/connect.rs",
        search: "self.for_roles.get(role).unwrap_or(&self.database).clone()",
        replace: "self.for_roles.get(role).map_or(&self.database, |_| &self.database).clone()",
        tests: &["exports::escape::with_a_login_of_its_own_for_its_requester_a_query_can_take_no_other_role"],
    },
    Mutation {
        name: "an export is committed",
        file: "src/source/session.rs",
        search: "        drop(self.client);\n        if let",
        replace: "        let _ = self.client.batch_execute(\"commit\").await;\n        drop(self.client);\n        if let",
        tests: &[
            "exports::refused::what_a_read_only_transaction_lets_a_function_write_is_rolled_back",
            "exports::escape::what_a_query_may_do_in_a_read_only_transaction_is_rolled_back_or_ends_with_it",
        ],
    },
    Mutation {
        name: "no row is too many",
        file: "src/export/mod.rs",
        search: "job.terms.allow(lines - header, 0)?;",
        replace: "",
        tests: &["reports::ceilings::an_export_with_more_rows_than_its_report_allows_dies_and_leaves_nothing"],
    },
    Mutation {
        name: "the columns of a sealed report are not compared",
        file: "src/source/sealed.rs",
        search: "error.code() == Some(&SqlState::DATATYPE_MISMATCH)",
        replace: "error.code() == Some(&SqlState::UNDEFINED_COLUMN)",
        tests: &["sealed::what_its_owner_has_changed_is_no_sealed_report_any_more_and_is_streamed"],
    },
];
