//! What keeps a file whole that several backends make.

use super::{Change, Mutation};

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "whoever reaps ends the first backend alone",
        file: "sql/maintain/unswept.sql",
        guard: "all backends",
        change: Change::Part("attempt.backend_pid || attempt.more_pids", "array[attempt.backend_pid]"),
        harm: "queries of a lost worker that run on",
        tests: &["exports::split::end::whoever_reaps_a_worker_that_hangs_ends_all_its_backends"],
    },
    Mutation {
        name: "each backend of a file has a snapshot of its own",
        file: "src/source/session.rs",
        guard: "one snapshot",
        change: Change::Part("snapshot.take_over()", r#"snapshot.take_over().replace(|_| true, "")"#),
        harm: "a file of several instants",
        tests: &["exports::split::file::every_backend_sees_the_same_instant_while_somebody_commits_all_the_time"],
    },
    Mutation {
        name: "a slice begins behind its bound",
        file: "src/export/parallel/slice.rs",
        guard: "from its bound",
        change: Change::Part(r#"">=""#, r#"">""#),
        harm: "rows that are in no file",
        tests: &["exports::split::file::a_file_has_the_same_bytes_whatever_its_key_and_however_many_backends_make_it"],
    },
    Mutation {
        name: "a backend that fails leaves its slice short",
        file: "src/export/parallel/channel.rs",
        guard: "every slice",
        change: Change::Part(")??", ")?.unwrap_or(0)"),
        harm: "a file without its middle",
        tests: &["exports::split::end::a_slice_that_fails_fails_the_export_and_leaves_no_object_and_no_backend"],
    },
    Mutation {
        name: "each slice has the ceiling of the whole",
        file: "src/export/parallel/channel.rs",
        guard: "rows of the file",
        change: Change::Become("self.work.terms.allow(rows, self.work.progress.add_rows(rows) * 0)"),
        harm: "more rows than the report allows",
        tests: &["exports::split::end::ceilings_are_those_of_the_whole_file"],
    },
    Mutation {
        name: "a query that has to be run as a whole is split",
        file: "src/export/parallel/plan.rs",
        guard: "cheap slices",
        change: Change::Become("if slice.is_none() {"),
        harm: "rows twice or not at all, and each slice as dear as the file",
        tests: &["exports::split::file::what_slices_do_not_fit_together_for_or_do_not_pay_for_is_made_by_one_backend"],
    },
];
