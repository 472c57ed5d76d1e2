//! Canaries: words that stand for data, and the places where none may show.
//!
//! Every world's requests carry some, its daemons log at the most talkative level into [`Watch`], and a world that ends looks at all of it: so each
//! test of the suite is one about leaks, too. `security/canary.rs` does the same to the real program with every field filled.

use std::io::Write;
use std::sync::{Mutex, Once};

use exportbox::telemetry::{LogArgs, LogFormat, lines};
use tokio::process::Command;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use uuid::Uuid;

use super::{SECRET_KEY, World, postgres};

/// What each request of the suite carries beside what its test wants.
pub const IN_EVERY_REQUEST: &str = "canary-request";
/// The address of the full request, and what its fields hold.
pub const ADDRESS: &str = "canary-address-7431@example.com";
pub const FILENAME: &str = "canary-filename-7431.csv";
pub const PASSWORD: &str = "canary-password-7431";
/// Everything that a log may be asked for; the program lets only its own lines through.
pub const TALKATIVE: &str = "trace,tokio_postgres=trace,aws_config=trace,aws_smithy_runtime=trace,aws_smithy_http_client=trace,hyper=trace,lettre=trace,rustls=trace";

/// The texts of exportbox that every role may read which may read anything.
const SHOWN: &str = "select coalesce(string_agg(t.shown, E'\n'), '') from (
    select error from exportbox.job union all select worker from exportbox.job union all select error from exportbox.attempt
    union all select error from exportbox.message union all select message_id from exportbox.message union all select detail from exportbox.event
    union all select reason from exportbox.control union all select channel from exportbox.worker
    ) as t (shown)";

/// The first thing in a text that must not be there.
pub fn leak_in(text: &str) -> Option<&str> {
    let found = ["canary-", "X-Amz-Signature=", SECRET_KEY, ":exportbox_daemon@"].iter().find_map(|word| text.find(word));
    let address = || {
        let places = ["@example.com", "@customer.example"].into_iter().flat_map(|domain| text.match_indices(domain));
        // A masked address ends in asterisks, and a Message-ID of ours is a UUID.
        let is_id = |at: &usize| at.checked_sub(36).and_then(|from| text.get(from..*at)).is_some_and(|id| id.parse::<Uuid>().is_ok());
        places.map(|(at, _)| at).find(|at| text[..*at].ends_with(|c: char| c.is_ascii_alphanumeric()) && !is_id(at))
    };
    let at = found.or_else(address)?;
    let from = text[..at].char_indices().rev().nth(80).map_or(0, |(from, _)| from);
    Some(&text[from..])
}

/// Log lines of this process that hold what none may hold.
static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[derive(Clone)]
struct Watch;

impl Write for Watch {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if leak_in(&String::from_utf8_lossy(line)).is_some() {
            LEAKS.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// From now on every log line of this process is read.
pub fn watch_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = LogArgs { filter: TALKATIVE.into(), log_format: LogFormat::Json };
        tracing_subscriber::registry().with(lines(&log, false, || Watch).unwrap()).init();
    });
}

/// Fail when a log line of any test so far held what none may hold.
pub fn assert_silent() {
    let leaks = std::mem::take(&mut *LEAKS.lock().unwrap());
    assert!(leaks.is_empty(), "a log line leaks: {}", leaks.join(""));
}

/// What ordinary roles may read in a database, when something leaks into it.
pub async fn shown_leak(client: &tokio_postgres::Client) -> Option<String> {
    let shown: String = client.query_one(SHOWN, &[]).await.ok()?.get(0);
    leak_in(&shown).map(ToString::to_string)
}

/// `more` arguments of a request with canaries in what they leave free.
pub fn with_canaries(more: &str) -> String {
    let mut arguments: Vec<String> = Some(more.to_string()).filter(|more| !more.is_empty()).into_iter().collect();
    for name in ["params", "metadata"] {
        if !more.contains(name) {
            arguments.push(format!("{name} => '{{\"canary\": \"{IN_EVERY_REQUEST}\"}}'"));
        }
    }
    arguments.join(", ")
}

impl World {
    /// A request in which every field is a canary.
    pub async fn request_canaries(&self, query: &str) -> Uuid {
        let more =
            "params => '{\"secret\": \"canary-param-7431\"}', filename => 'canary-filename-7431.csv', subject => 'canary-subject-7431',
            message => 'canary-message-7431', metadata => '{\"canary-metadata-7431\": \"canary-metadata-7431\"}'";
        let key = format!("idempotency_key => 'canary-key-{}'", Uuid::new_v4());
        self.request_with(&format!("/* canary-query-7431 */ {query}"), &[ADDRESS], &format!("{more}, {key}")).await
    }

    /// The URL of a daemon's login whose password is a canary.
    pub async fn canary_url(&self) -> String {
        let name = format!("{}_canary", self.database);
        self.sql(&format!("create role {name} login password '{PASSWORD}'; grant exportbox_daemon to {name}")).await;
        postgres().url(&name, PASSWORD, &self.database)
    }

    /// The real program at its most talkative, with that login.
    pub fn talkative(&self, arguments: &[&str], url: &str, format: &str) -> Command {
        let mut program = self.program(arguments);
        program.env("EXPORTBOX_DATABASE_URL", url).env("EXPORTBOX_LOG", TALKATIVE).env("EXPORTBOX_LOG_FORMAT", format);
        program.env("RUST_BACKTRACE", "full").env("RUST_LOG", "trace");
        program
    }

    /// Everything that these roles may read through the views, in one text. Its own requests' addresses are a requester's to see.
    pub async fn views_as(&self, role: &str) -> String {
        let mut shown = String::new();
        self.sql(&format!("set role {role}")).await;
        let views = ["exports", "jobs", "attempts", "deliveries", "events", "health", "objects", "reports", "audit", "dead", "notices"];
        for view in views {
            // The filename is in the manifest: it is what the requester asked for, and the key's last part.
            let query =
                format!("select coalesce(string_agg((to_jsonb(v) - 'filename' - 'key')::text, E'\n'), '') from exportbox.{view} as v");
            match self.admin.query_one(&query, &[]).await {
                Ok(row) => shown.push_str(row.get(0)),
                Err(error) => assert!(["health", "audit", "notices"].contains(&view), "{role} {view}: {error}"),
            }
        }
        self.sql("reset role").await;
        shown
    }

    /// Names and metadata of everything that the store holds, without its contents.
    pub async fn store_labels(&self) -> String {
        let mut labels = String::new();
        for (key, _) in self.s3.objects("exports").await.unwrap() {
            labels.push_str(&key.replace(FILENAME, ""));
            labels.push('\n');
        }
        let mut todo = vec![self.s3.dir().to_path_buf()];
        while let Some(path) = todo.pop() {
            if path.is_dir() {
                todo.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|ending| ending == "json") {
                labels.push_str(&std::fs::read_to_string(&path).unwrap().replace(FILENAME, ""));
            }
        }
        labels
    }
}
