//! Wrong settings are found before anything starts.

use crate::harness::World;
use crate::harness::process::assert_gave_up;

const SECRET: &str = "hunter2-secret";

#[tokio::test]
async fn a_missing_setting_is_2_and_named() {
    let world = World::new().await;
    for name in ["EXPORTBOX_DATABASE_URL", "EXPORTBOX_BUCKET", "EXPORTBOX_MAIL", "EXPORTBOX_MAIL_FROM"] {
        for command in ["run", "drain"] {
            assert_gave_up(&world.run_with(&[command], &[(name, "")]).await, 2, &[name], SECRET);
        }
    }
    for command in ["status", "health", "migrate"] {
        assert_gave_up(
            &world.run_with(&[command], &[("EXPORTBOX_DATABASE_URL", "")]).await,
            2,
            &["EXPORTBOX_DATABASE_URL", "DATABASE_URL"],
            SECRET,
        );
    }
}

/// Variable, wrong value, a word of the answer.
const WRONG: &[(&str, &str, &str)] = &[
    ("EXPORTBOX_DATABASE_URL", "mysql://ann:hunter2-secret@db/shop", "postgres://"),
    ("EXPORTBOX_DATABASE_URL", "postgres://ann:hunter2-secret@db/shop?sslmode=perhaps", "verify-full"),
    ("EXPORTBOX_DATABASE_URL", "postgres://ann:hunter2-secret@db/shop?sslmode=verify-full&sslrootcert=/no/such.pem", "sslrootcert"),
    ("EXPORTBOX_DATABASE_URL", "postgres://ann:hunter2-secret@db:port/shop", "postgres://"),
    ("EXPORTBOX_SOURCE_URL", "postgres://ann:hunter2-secret@db/shop?colour=red", "EXPORTBOX_SOURCE_URL"),
    ("EXPORTBOX_MAIL", "pigeon://ann:hunter2-secret@loft", "EXPORTBOX_MAIL"),
    ("EXPORTBOX_MAIL", "smtp://ann:hunter2-secret@", "EXPORTBOX_MAIL"),
    ("EXPORTBOX_MAIL_FROM", "nobody", "EXPORTBOX_MAIL_FROM"),
    ("EXPORTBOX_EXPORTER", "magic", "aws_s3"),
    ("EXPORTBOX_SLOTS", "0", "EXPORTBOX_SLOTS"),
    ("EXPORTBOX_SLOTS", "many", "--slots"),
    ("EXPORTBOX_SOURCE_SLOTS", "0", "EXPORTBOX_SOURCE_SLOTS"),
    ("EXPORTBOX_MAIL_SLOTS", "257", "EXPORTBOX_MAIL_SLOTS"),
    ("EXPORTBOX_LEASE", "soon", "90s, 15m or 24h"),
    ("EXPORTBOX_LEASE", "90", "90s, 15m or 24h"),
    ("EXPORTBOX_LEASE", "-5s", "90s, 15m or 24h"),
    ("EXPORTBOX_LEASE", "10ms", "EXPORTBOX_LEASE"),
    ("EXPORTBOX_HEARTBEAT", "60s", "a third"),
    ("EXPORTBOX_HEARTBEAT", "0s", "EXPORTBOX_HEARTBEAT"),
    ("EXPORTBOX_POLL", "1ms", "EXPORTBOX_POLL"),
    ("EXPORTBOX_TIMEOUT", "0s", "EXPORTBOX_TIMEOUT"),
    ("EXPORTBOX_GRACE", "x", "90s, 15m or 24h"),
    ("EXPORTBOX_LINK_TTL", "8d", "EXPORTBOX_LINK_TTL"),
    ("EXPORTBOX_LINK_TTL", "59s", "EXPORTBOX_LINK_TTL"),
    ("EXPORTBOX_OBJECT_LIFE", "long", "90s, 15m or 24h"),
    ("EXPORTBOX_UNKNOWN", "guess", "resend"),
    ("EXPORTBOX_EXPORT_ATTEMPTS", "0", "EXPORTBOX_EXPORT_ATTEMPTS"),
    ("EXPORTBOX_MAIL_ATTEMPTS", "101", "EXPORTBOX_MAIL_ATTEMPTS"),
    ("EXPORTBOX_PART_SIZE", "4", "EXPORTBOX_PART_SIZE"),
    ("EXPORTBOX_PREFIX", "/exports", "EXPORTBOX_PREFIX"),
    ("EXPORTBOX_PREFIX", "a b", "EXPORTBOX_PREFIX"),
    ("EXPORTBOX_LOG", "exportbox=loud", "EXPORTBOX_LOG"),
    ("EXPORTBOX_LOG_FORMAT", "xml", "json"),
];

#[tokio::test]
async fn a_wrong_setting_is_2_and_its_answer_says_what_to_write_without_any_password() {
    let world = World::new().await;
    for (name, value, word) in WRONG {
        assert_gave_up(&world.run_with(&["drain"], &[(name, value)]).await, 2, &[word], SECRET);
    }
}

#[tokio::test]
async fn wrong_arguments_are_2() {
    let world = World::new().await;
    let wrong: [&[&str]; 8] = [
        &[],
        &["dance"],
        &["show"],
        &["show", "not-an-id"],
        &["drain", "--max-jobs", "0"],
        &["drain", "--max-runtime", "soon"],
        &["status", "--limit", "-1"],
        &["migrate", "--dry-run", "--json"],
    ];
    for arguments in wrong {
        assert_gave_up(&world.run(arguments).await, 2, &["--help"], SECRET);
    }
}

#[tokio::test]
async fn database_url_is_the_fallback() {
    let world = World::new().await;
    let url = world.daemon_url();
    let output = world.run_with(&["health"], &[("EXPORTBOX_DATABASE_URL", ""), ("DATABASE_URL", &url)]).await;
    assert_eq!(crate::harness::process::code(&output), 0);
}
