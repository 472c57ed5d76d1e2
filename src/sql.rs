//! Every statement of the daemon, one file each in a folder of `sql/` that says what it serves.

use tokio_postgres::types::{ToSql, Type};

macro_rules! statements {
    ($($folder:literal { $($constant:ident = $name:literal;)* })*) => {
        $($(pub(crate) const $constant: &str = include_str!(concat!("../sql/", $folder, "/", $name, ".sql"));)*)*

        /// Name and text of every statement: for the test that prepares them all.
        pub const ALL: &[(&str, &str)] = &[$($(($name, $constant),)*)*];

        /// Folder and name of every statement, in the same order.
        pub const PLACES: &[(&str, &str)] = &[$($(($folder, $name),)*)*];
    };
}

statements! {
    "admin" {
        CANCEL = "cancel";
        CANCEL_WHERE = "cancel_where";
        CONNECTIONS = "connections";
        DISABLE_REPORT = "disable_report";
        ERASE = "erase";
        EXAMINE_ORPHANS = "examine_orphans";
        EXAMINE_ROLES = "examine_roles";
        EXAMINE_SERVER = "examine_server";
        EXAMINE_SNAPSHOT = "examine_snapshot";
        EXAMINE_TABLES = "examine_tables";
        EXPLAIN = "explain";
        FIGURES = "figures";
        HEALTH = "health";
        LIMITS = "limits";
        LIST_DEAD = "list_dead";
        LIST_PAUSES = "list_pauses";
        LIST_REPORTS = "list_reports";
        LIST_SCHEDULES = "list_schedules";
        MIGRATING = "migrating";
        PAUSE = "pause";
        READ_REPORT_PARAMS = "read_report_params";
        REGISTER_REPORT = "register_report";
        REGISTER_SCHEDULE = "register_schedule";
        RELINK = "relink";
        REPORT_EXPORTER = "report_exporter";
        REPORT_EXPORTERS = "report_exporters";
        REQUEUE = "requeue";
        REQUEUE_WHERE = "requeue_where";
        RESUME = "resume";
        SCHEMA_VERSIONS = "schema_versions";
        SEAL_REPORT = "seal_report";
        SET_PRIORITY = "set_priority";
        SHOW_ATTEMPTS = "show_attempts";
        SHOW_DELIVERIES = "show_deliveries";
        SHOW_EVENTS = "show_events";
        SHOW_EXPORT = "show_export";
        SHOW_OBJECTS = "show_objects";
        SHOW_REPORT = "show_report";
        STATUS_RECENT = "status_recent";
        SWITCH_SCHEDULE = "switch_schedule";
    }
    "attempt" {
        HEARTBEAT = "heartbeat";
        LOAD_EXPORT = "load_export";
        RECORD_BACKEND = "record_backend";
        RECORD_HELPERS = "record_helpers";
        RECORD_STORE = "record_store";
    }
    "claim" {
        CLAIM = "claim";
        DRAINED = "drained";
        EXPIRE = "expire";
        HOLD = "hold";
        LIFT_HOLD = "lift_hold";
        NEXT_DUE = "next_due";
        REAP = "reap";
    }
    "maintain" {
        DUE_SCHEDULES = "due_schedules";
        FORGET_LEFTOVERS = "forget_leftovers";
        LEFTOVERS = "leftovers";
        LIVE_LEASES = "live_leases";
        POSTPONE_CHORE = "postpone_chore";
        POSTPONE_SWEEP = "postpone_sweep";
        PRUNE = "prune";
        RECORD_SWEEP = "record_sweep";
        REOPEN_SWEEP = "reopen_sweep";
        REQUEST_SCHEDULED = "request_scheduled";
        TAKE_CHORES = "take_chores";
        UNSWEPT = "unswept";
    }
    "message" {
        GATHER_DIGEST = "gather_digest";
        GATHER_FAILURES = "gather_failures";
        LOAD_MESSAGE = "load_message";
        RECORD_MAIL_QUOTA = "record_mail_quota";
        RECORD_SENDING = "record_sending";
    }
    "settle" {
        ATTEMPT_OUTCOME = "attempt_outcome";
        BURY = "bury";
        COMPLETE_EXPORTS = "complete_exports";
        COMPLETE_MESSAGES = "complete_messages";
        RELEASE = "release";
        RETRY = "retry";
        SETTLE_CANCELLED = "settle_cancelled";
    }
    "source" {
        AFTER_ESTIMATE = "after_estimate";
        AWS_S3_USABLE = "aws_s3_usable";
        BEFORE_ESTIMATE = "before_estimate";
        BEGIN_EXPORT = "begin_export";
        DROP_ROLE = "drop_role";
        END_BACKEND = "end_backend";
        EXAMINE_MEMBERSHIP = "examine_membership";
        EXPORT_AWS_S3 = "export_aws_s3";
        EXPORT_AWS_S3_WITH_KEY = "export_aws_s3_with_key";
        JOINED_SERVER = "joined_server";
        KEY_HISTOGRAM = "key_histogram";
        LIMIT_ESTIMATE = "limit_estimate";
        OPEN_EXPORT = "open_export";
        OWN_PATH = "own_path";
        QUERY_PATH = "query_path";
        READ_BY_BLOCKS = "read_by_blocks";
        SEALED_REPORT = "sealed_report";
        SET_SLICE = "set_slice";
        SHARE_SNAPSHOT = "share_snapshot";
        TABLE_BLOCKS = "table_blocks";
    }
    "wake" {
        AWAKE = "awake";
        REGISTER_WORKER = "register_worker";
        REQUESTS_IN_FLIGHT = "requests_in_flight";
        UNREGISTER_WORKER = "unregister_worker";
        WAIT = "wait";
        WAKE = "wake";
    }
}

/// Statements of `queue` that people run over logins of their own: the daemon's needs no right to them.
pub const FOR_PEOPLE: &[&str] = &[
    "cancel_where",
    "disable_report",
    "erase",
    "read_report_params",
    "register_report",
    "register_schedule",
    "requeue_where",
    "seal_report",
    "switch_schedule",
];

/// Whether a statement runs on the source, where queries run, and not on the outbox's server.
pub(crate) fn is_on_the_source(name: &str) -> bool {
    PLACES.contains(&("source", name))
}

/// The types of a statement's parameters, from the lines that describe them (`-- $3 text worker: …`; the name is for readers and tests): whoever knows them needs no named statement, and no round trip
/// to ask.
pub fn parameter_types(statement: &str) -> Vec<Type> {
    let described = statement.lines().filter_map(|line| line.strip_prefix("-- $")?.split_once(' ')?.1.split_once(':'));
    described
        .map(|(words, _)| match words.split(' ').next().unwrap_or_default() {
            "bigint" => Type::INT8,
            "int" => Type::INT4,
            "smallint" => Type::INT2,
            "boolean" => Type::BOOL,
            "timestamptz" => Type::TIMESTAMPTZ,
            "timestamptz[]" => Type::TIMESTAMPTZ_ARRAY,
            "uuid" => Type::UUID,
            "uuid[]" => Type::UUID_ARRAY,
            "oid[]" => Type::OID_ARRAY,
            "text[]" => Type::TEXT_ARRAY,
            "jsonb" => Type::JSONB,
            "bigint[]" => Type::INT8_ARRAY,
            "int[]" => Type::INT4_ARRAY,
            _ => Type::TEXT,
        })
        .collect()
}

/// The parameters of a statement with their types.
pub(crate) fn typed<'a>(statement: &str, params: &[&'a (dyn ToSql + Sync)]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    params.iter().copied().zip(parameter_types(statement)).collect()
}
