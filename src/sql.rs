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
    AFTER_ESTIMATE = "after_estimate";
    ATTEMPT_OUTCOME = "attempt_outcome";
    AWAKE = "awake";
    AWS_S3_USABLE = "aws_s3_usable";
    BEFORE_ESTIMATE = "before_estimate";
    BEGIN_EXPORT = "begin_export";
    BURY = "bury";
    CANCEL = "cancel";
    CANCEL_WHERE = "cancel_where";
    CLAIM = "claim";
    CLAIM_NOTICE = "claim_notice";
    COMPLETE_DELIVERIES = "complete_deliveries";
    COMPLETE_EXPORTS = "complete_exports";
    CONNECTIONS = "connections";
    DISABLE_REPORT = "disable_report";
    DRAINED = "drained";
    DROP_ROLE = "drop_role";
    DUE_SCHEDULES = "due_schedules";
    END_BACKEND = "end_backend";
    ERASE = "erase";
    EXAMINE_MEMBERSHIP = "examine_membership";
    EXAMINE_ORPHANS = "examine_orphans";
    EXAMINE_ROLES = "examine_roles";
    EXAMINE_SERVER = "examine_server";
    EXAMINE_SNAPSHOT = "examine_snapshot";
    EXAMINE_TABLES = "examine_tables";
    EXPIRE = "expire";
    EXPLAIN = "explain";
    EXPORT_AWS_S3 = "export_aws_s3";
    EXPORT_AWS_S3_WITH_KEY = "export_aws_s3_with_key";
    FIGURES = "figures";
    FORGET_LEFTOVERS = "forget_leftovers";
    FORGET_NOTICES = "forget_notices";
    GATHER_DIGEST = "gather_digest";
    GATHER_FAILURES = "gather_failures";
    HEALTH = "health";
    HEARTBEAT = "heartbeat";
    HOLD = "hold";
    JOINED_SERVER = "joined_server";
    KEY_HISTOGRAM = "key_histogram";
    LEFTOVERS = "leftovers";
    LIFT_HOLD = "lift_hold";
    LIMIT_ESTIMATE = "limit_estimate";
    LIMITS = "limits";
    LIST_DEAD = "list_dead";
    LIST_PAUSES = "list_pauses";
    LIST_REPORTS = "list_reports";
    LIST_SCHEDULES = "list_schedules";
    LIVE_LEASES = "live_leases";
    LOAD_DELIVERY = "load_delivery";
    LOAD_DIGEST = "load_digest";
    LOAD_EXPORT = "load_export";
    LOAD_FAILURES = "load_failures";
    LOAD_MANIFEST = "load_manifest";
    MIGRATING = "migrating";
    NEXT_DUE = "next_due";
    NEXT_NOTICE = "next_notice";
    OPEN_EXPORT = "open_export";
    OWN_PATH = "own_path";
    PAUSE = "pause";
    POSTPONE_CHORE = "postpone_chore";
    POSTPONE_SWEEP = "postpone_sweep";
    PRUNE = "prune";
    QUERY_PATH = "query_path";
    READ_BY_BLOCKS = "read_by_blocks";
    READ_REPORT_PARAMS = "read_report_params";
    REAP = "reap";
    RECORD_BACKEND = "record_backend";
    RECORD_HELPERS = "record_helpers";
    RECORD_MAIL_QUOTA = "record_mail_quota";
    RECORD_SENDING = "record_sending";
    RECORD_STORE = "record_store";
    RECORD_SWEEP = "record_sweep";
    REGISTER_REPORT = "register_report";
    REGISTER_SCHEDULE = "register_schedule";
    REGISTER_WORKER = "register_worker";
    RELEASE = "release";
    RELINK = "relink";
    REOPEN_SWEEP = "reopen_sweep";
    REQUEST_SCHEDULED = "request_scheduled";
    REQUESTS_IN_FLIGHT = "requests_in_flight";
    REQUEUE = "requeue";
    REQUEUE_WHERE = "requeue_where";
    RESUME = "resume";
    RETRY = "retry";
    SCHEMA_VERSIONS = "schema_versions";
    SEALED_REPORT = "sealed_report";
    SET_PRIORITY = "set_priority";
    SET_SLICE = "set_slice";
    SETTLE_CANCELLED = "settle_cancelled";
    SETTLE_NOTICE = "settle_notice";
    SHARE_SNAPSHOT = "share_snapshot";
    SHOW_ATTEMPTS = "show_attempts";
    SHOW_DELIVERIES = "show_deliveries";
    SHOW_EVENTS = "show_events";
    SHOW_EXPORT = "show_export";
    SHOW_OBJECTS = "show_objects";
    SHOW_REPORT = "show_report";
    STATUS_RECENT = "status_recent";
    SWITCH_SCHEDULE = "switch_schedule";
    TABLE_BLOCKS = "table_blocks";
    TAKE_CHORES = "take_chores";
    UNREGISTER_WORKER = "unregister_worker";
    UNSWEPT = "unswept";
    WAIT = "wait";
    WAKE = "wake";
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
    "switch_schedule",
];

/// Statements that run on the source.
pub const ON_THE_SOURCE: &[&str] = &[
    "after_estimate",
    "aws_s3_usable",
    "before_estimate",
    "begin_export",
    "drop_role",
    "end_backend",
    "examine_membership",
    "export_aws_s3",
    "export_aws_s3_with_key",
    "joined_server",
    "key_histogram",
    "limit_estimate",
    "open_export",
    "own_path",
    "query_path",
    "read_by_blocks",
    "sealed_report",
    "set_slice",
    "share_snapshot",
    "table_blocks",
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
            "int[]" => Type::INT4_ARRAY,
            _ => Type::TEXT,
        })
        .collect()
}

/// The parameters of a statement with their types.
pub(crate) fn typed<'a>(statement: &str, params: &[&'a (dyn ToSql + Sync)]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    params.iter().copied().zip(parameter_types(statement)).collect()
}
