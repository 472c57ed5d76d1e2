//! Every statement of the daemon, one file each in `sql/`.

use tokio_postgres::types::{ToSql, Type};

macro_rules! statements {
    ($($constant:ident = $file:literal;)*) => {
        $(pub(crate) const $constant: &str = include_str!(concat!("../sql/", $file, ".sql"));)*

        /// Name and text of every statement: for the test that prepares them all.
        pub const ALL: &[(&str, &str)] = &[$(($file, $constant)),*];
    };
}

statements! {
    ATTEMPT_OUTCOME = "attempt_outcome";
    AWAKE = "awake";
    AWS_S3_USABLE = "aws_s3_usable";
    BEGIN_EXPORT = "begin_export";
    BURY = "bury";
    CANCEL = "cancel";
    CLAIM = "claim";
    COMPLETE_DELIVERY = "complete_delivery";
    COMPLETE_EXPORT = "complete_export";
    CONNECTIONS = "connections";
    DISABLE_REPORT = "disable_report";
    DRAINED = "drained";
    DROP_ROLE = "drop_role";
    END_BACKEND = "end_backend";
    ERASE = "erase";
    EXAMINE_MEMBERSHIP = "examine_membership";
    EXAMINE_ORPHANS = "examine_orphans";
    EXAMINE_ROLES = "examine_roles";
    EXAMINE_SERVER = "examine_server";
    EXAMINE_SNAPSHOT = "examine_snapshot";
    EXAMINE_TABLES = "examine_tables";
    EXPIRE = "expire";
    EXPORT_AWS_S3 = "export_aws_s3";
    EXPORT_AWS_S3_WITH_KEY = "export_aws_s3_with_key";
    FIGURES = "figures";
    HEALTH = "health";
    HEARTBEAT = "heartbeat";
    HOLD = "hold";
    LIFT_HOLD = "lift_hold";
    LIMITS = "limits";
    LIST_REPORTS = "list_reports";
    LOAD_DELIVERY = "load_delivery";
    LOAD_EXPORT = "load_export";
    LOAD_MANIFEST = "load_manifest";
    MIGRATING = "migrating";
    NEXT_DUE = "next_due";
    NEXT_SWEEP = "next_sweep";
    OPEN_EXPORT = "open_export";
    POSTPONE_SWEEP = "postpone_sweep";
    READ_REPORT_PARAMS = "read_report_params";
    REAP = "reap";
    RECORD_BACKEND = "record_backend";
    RECORD_SENDING = "record_sending";
    RECORD_STORE = "record_store";
    RECORD_SWEEP = "record_sweep";
    REGISTER_REPORT = "register_report";
    REGISTER_WORKER = "register_worker";
    RELEASE = "release";
    REOPEN_SWEEP = "reopen_sweep";
    REQUESTS_IN_FLIGHT = "requests_in_flight";
    REQUEUE = "requeue";
    RETRY = "retry";
    SCHEMA_VERSIONS = "schema_versions";
    SEALED_REPORT = "sealed_report";
    SETTLE_CANCELLED = "settle_cancelled";
    SHOW_ATTEMPTS = "show_attempts";
    SHOW_DELIVERIES = "show_deliveries";
    SHOW_EVENTS = "show_events";
    SHOW_EXPORT = "show_export";
    SHOW_OBJECTS = "show_objects";
    SHOW_REPORT = "show_report";
    STATUS_COUNTS = "status_counts";
    STATUS_RECENT = "status_recent";
    UNREGISTER_WORKER = "unregister_worker";
    UNSWEPT = "unswept";
    WAIT = "wait";
    WAKE = "wake";
}

/// Statements of `queue` that people run over logins of their own: the daemon's needs no right to them.
pub const FOR_PEOPLE: &[&str] = &["disable_report", "erase", "read_report_params", "register_report"];

/// Statements that run on the source.
pub const ON_THE_SOURCE: &[&str] = &[
    "aws_s3_usable",
    "begin_export",
    "drop_role",
    "end_backend",
    "examine_membership",
    "export_aws_s3",
    "export_aws_s3_with_key",
    "open_export",
    "sealed_report",
];

/// The types of a statement's parameters, from the lines that describe them: whoever knows them needs no named statement, and no round trip
/// to ask.
pub fn parameter_types(statement: &str) -> Vec<Type> {
    let described = statement.lines().filter_map(|line| line.strip_prefix("-- $")?.split_once(' ')?.1.split_once(':'));
    described
        .map(|(name, _)| match name {
            "bigint" => Type::INT8,
            "int" => Type::INT4,
            "smallint" => Type::INT2,
            "boolean" => Type::BOOL,
            "timestamptz" => Type::TIMESTAMPTZ,
            "timestamptz[]" => Type::TIMESTAMPTZ_ARRAY,
            "uuid" => Type::UUID,
            "uuid[]" => Type::UUID_ARRAY,
            "text[]" => Type::TEXT_ARRAY,
            "jsonb" => Type::JSONB,
            "bigint[]" => Type::INT8_ARRAY,
            _ => Type::TEXT,
        })
        .collect()
}

/// The parameters of a statement with their types.
pub(crate) fn typed<'a>(statement: &str, params: &[&'a (dyn ToSql + Sync)]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    params.iter().copied().zip(parameter_types(statement)).collect()
}
