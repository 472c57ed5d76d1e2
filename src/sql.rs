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
    DUE_SCHEDULES = "due_schedules";
    END_BACKEND = "end_backend";
    ERASE = "erase";
    EXPIRE = "expire";
    EXPORT_AWS_S3 = "export_aws_s3";
    EXPORT_AWS_S3_WITH_KEY = "export_aws_s3_with_key";
    FORGET_LEFTOVERS = "forget_leftovers";
    HEALTH = "health";
    HEARTBEAT = "heartbeat";
    HOLD = "hold";
    LEFTOVERS = "leftovers";
    LIFT_HOLD = "lift_hold";
    LIMITS = "limits";
    LIST_REPORTS = "list_reports";
    LIST_SCHEDULES = "list_schedules";
    LIVE_LEASES = "live_leases";
    LOAD_DELIVERY = "load_delivery";
    LOAD_EXPORT = "load_export";
    LOAD_MANIFEST = "load_manifest";
    MIGRATING = "migrating";
    NEXT_DUE = "next_due";
    NEXT_SWEEP = "next_sweep";
    OPEN_EXPORT = "open_export";
    POSTPONE_CHORE = "postpone_chore";
    POSTPONE_SWEEP = "postpone_sweep";
    PRUNE = "prune";
    READ_REPORT_PARAMS = "read_report_params";
    REAP = "reap";
    RECORD_BACKEND = "record_backend";
    RECORD_SENDING = "record_sending";
    RECORD_STORE = "record_store";
    RECORD_SWEEP = "record_sweep";
    REGISTER_REPORT = "register_report";
    REGISTER_SCHEDULE = "register_schedule";
    REGISTER_WORKER = "register_worker";
    RELEASE = "release";
    REOPEN_SWEEP = "reopen_sweep";
    REQUEST_SCHEDULED = "request_scheduled";
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
    SWITCH_SCHEDULE = "switch_schedule";
    TAKE_CHORES = "take_chores";
    UNREGISTER_WORKER = "unregister_worker";
    UNSWEPT = "unswept";
    WAIT = "wait";
    WAKE = "wake";
}

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
