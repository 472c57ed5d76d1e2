//! Nothing leaks: the real program at its most talkative over successes and faults, with a canary in every field.

use std::process::{Command, Output};

use exportbox::sandbox::{Action, Rule};
use exportbox::telemetry::{LogArgs, LogFormat, init};

use crate::harness::World;
use crate::harness::canary::{ADDRESS, FILENAME, PASSWORD, leak_in};
use crate::harness::metrics::{address_in, page};
use crate::harness::process::{code, signal, stderr, stdout};
use crate::mail::smtp_server::{SmtpServer, Step, Turn};

/// Functions whose errors say too much in each field of PostgreSQL's.
const TALKERS: &str = r"
    create function public.says_detail() returns text language plpgsql as $$ begin
        raise unique_violation using message = 'canary-7431', detail = 'Key (email)=(canary-7431) already exists.', hint = 'canary-7431',
            constraint = 'canary-7431', table = 'canary-7431', schema = 'canary-7431';
    end $$;
    create function public.says_context() returns int language plpgsql as $$ declare n int; begin
        n := 1 / (length('canary-7431') - 11); return n;
    end $$;
    create function public.says_warning() returns text language plpgsql as $$ begin
        raise warning 'canary-7431' using detail = 'canary-7431'; raise notice 'canary-7431'; return 'x';
    end $$;
    grant execute on all functions in schema public to public;";

const FAILING: [&str; 6] = [
    "select says_detail()",
    "select says_context()",
    "select 'canary-7431'::int",
    "select 'canary-7431'::uuid from canary_7431",
    "select repeat('canary-7431', 3)::date",
    "select * from json_to_record('canary-7431') as x (a int)",
];

/// Link and address as a provider may echo them.
const ECHO: &str =
    "Rejected canary-address-7431@example.com: spam https://b/canary-7431?X-Amz-Signature=0f0f for postgres://a:canary-7431@h";

struct Stage {
    world: World,
    url: String,
    format: &'static str,
    said: Vec<(String, Output)>,
    /// Everything that was found, so that one run shows it all.
    leaks: Vec<String>,
}

impl Stage {
    /// Search a text that was found in this place.
    fn search(&mut self, place: &str, text: &str) {
        if let Some(leak) = leak_in(text) {
            self.leaks.push(format!("{place}: {}", leak.chars().take(300).collect::<String>()));
        }
    }

    async fn say(&mut self, arguments: &[&str], settings: &[(&str, &str)]) -> i32 {
        let mut program = self.world.talkative(arguments, &self.url, self.format);
        program.envs(settings.iter().copied());
        let output = program.output().await.unwrap();
        let exit = code(&output);
        self.said.push((arguments.join(" "), output));
        exit
    }

    /// What a wrong setting held up is let go, and what waits is due.
    async fn again(&self) {
        self.world.s3.faults().clear();
        self.world.ses.faults().clear();
        self.world.lift_holds().await;
        self.world.let_time_pass().await;
    }
}

async fn play(format: &'static str) {
    let world = World::with_aws_s3().await;
    let url = world.canary_url().await;
    world.sql(TALKERS).await;
    let mut stage = Stage { world, url, format, said: Vec::new(), leaks: Vec::new() };
    stage.say(&["migrate", "--dry-run"], &[]).await;
    stage.say(&["migrate", "--json"], &[]).await;

    // What goes well, by each exporter and each transport.
    let smtp = SmtpServer::start(&["8BITMIME", "AUTH PLAIN LOGIN"], None).await;
    let refuses = SmtpServer::start(&["AUTH PLAIN LOGIN"], Some((Step::Login, Turn::Say("535 5.7.8 canary-smtp-7431 wrong")))).await;
    let echoes = SmtpServer::start(&[], Some((Step::Recipient, Turn::Say("550 5.1.1 <canary-address-7431@example.com> unknown")))).await;
    let login = |port: u16| format!("smtp://ann:canary-smtp-7431@127.0.0.1:{port}?tls=none");
    let (good, bad, none) = (login(smtp.port), login(refuses.port), format!("smtp://127.0.0.1:{}?tls=none", echoes.port));
    let files = format!("file:{}", stage.world.dir().join("canary-7431").display());
    let mut done = Vec::new();
    for (exporter, mail) in [("aws_s3", "ses"), ("copy", good.as_str()), ("copy", files.as_str())] {
        let id = stage.world.request_canaries("select exportbox.param('secret'), says_warning(), 'canary-7431'").await;
        assert_eq!(stage.say(&["drain"], &[("EXPORTBOX_EXPORTER", exporter), ("EXPORTBOX_MAIL", mail)]).await, 0, "{exporter} {mail}");
        assert_eq!(stage.world.state(id).await, "completed");
        done.push(id);
    }
    assert_eq!((stage.world.mails().len(), smtp.mails().len()), (1, 1));

    // What goes wrong in the database, with every exporter.
    for exporter in ["aws_s3", "copy"] {
        for query in FAILING {
            done.push(stage.world.request_canaries(query).await);
        }
        assert_eq!(stage.say(&["drain", "--json"], &[("EXPORTBOX_EXPORTER", exporter)]).await, 11);
    }

    // What goes wrong at the providers.
    for (service, operation, action, settings) in [
        ("ses", "SendEmail", Action::error(400, "MessageRejected", ECHO), vec![]),
        (
            "ses",
            "SendEmail",
            Action::error(400, "MessageRejected", "Email address is not verified: canary-address-7431@example.com"),
            vec![],
        ),
        ("ses", "SendEmail", Action::error(429, "TooManyRequestsException", ECHO), vec![]),
        ("ses", "SendEmail", Action::error(500, "InternalFailure", ECHO), vec![]),
        ("ses", "SendEmail", Action::CutReply, vec![]),
        ("s3", "PutObject", Action::error(403, "SignatureDoesNotMatch", ECHO), vec![]),
        ("s3", "PutObject", Action::error(403, "InvalidAccessKeyId", ECHO), vec![]),
        ("s3", "PutObject", Action::error(400, "canary-7431", ECHO), vec![]),
        ("s3", "PutObject", Action::error(503, "SlowDown", ECHO), vec![]),
        ("", "", Action::CutReply, vec![("EXPORTBOX_MAIL", bad.as_str())]),
        ("", "", Action::CutReply, vec![("EXPORTBOX_MAIL", none.as_str())]),
        ("", "", Action::CutReply, vec![("EXPORTBOX_BUCKET", "canary-7431")]),
    ] {
        stage.again().await;
        let faults = if service == "s3" { stage.world.s3.faults() } else { stage.world.ses.faults() };
        if !service.is_empty() {
            faults.add(Rule::on(operation, action));
        }
        done.push(stage.world.request_canaries("select 'canary-7431'").await);
        let settings = [vec![("EXPORTBOX_EXPORTER", "copy")], settings].concat();
        stage.say(&["drain", "--json"], &settings).await;
        stage.say(&["health"], &[]).await;
    }
    stage.again().await;

    crash_and_look(&mut stage).await;

    // What people ask.
    for (number, id) in done.iter().enumerate() {
        let id = id.to_string();
        let command: &[&str] = if number % 2 == 0 { &["show", &id] } else { &["show", "--json", &id] };
        stage.say(command, &[]).await;
    }
    let first = done[0].to_string();
    for command in [
        &["status"][..],
        &["status", "--json"],
        &["health", "--json"],
        &["watch", &first],
        &["watch", "--json", &first],
        &["doctor"],
        &["doctor", "--json"],
    ] {
        assert_eq!(stage.say(command, &[]).await, 0, "{command:?}");
    }
    for command in [&["cancel", &first][..], &["requeue", &first]] {
        stage.say(command, &[]).await;
    }
    gone(&mut stage).await;
    search_all(&mut stage).await;
    assert!(stage.leaks.is_empty(), "{:#?}", stage.leaks);
}

/// A daemon is looked at while it works, killed, and its attempt reaped.
async fn crash_and_look(stage: &mut Stage) {
    let id = stage.world.request_canaries("select pg_sleep(600), exportbox.param('secret')").await;
    let mut program = stage.world.talkative(&["run"], &stage.url, stage.format);
    let log = stage.world.dir().join("daemon.log");
    program.stderr(std::fs::File::create(&log).unwrap()).stdout(std::process::Stdio::null());
    let mut daemon =
        program.env("EXPORTBOX_EXPORTER", "copy").env("EXPORTBOX_HEARTBEAT", "100ms").env("EXPORTBOX_HTTP", "127.0.0.1:0").spawn().unwrap();
    let own = format!("application_name = 'exportbox export {id}'");
    stage.world.until(&format!("select count(*) = 1 from pg_stat_activity where {own} and query like '%pg_sleep%'")).await;
    let pid = daemon.id().unwrap();
    let mut titles = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        titles.push_str(&std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default());
    }
    assert!(titles.contains("exportbox"), "{titles}");
    stage.search("process title", &titles);
    let names = "select string_agg(concat_ws(' ', application_name, usename, datname), ';') from pg_stat_activity where datname = current_database()";
    let names = stage.world.text(names).await;
    assert!(names.contains("exportbox export"), "{names}");
    stage.search("application_name", &names);
    // The query of an export shows in pg_stat_activity, to superusers and pg_read_all_stats; nothing else of a request does.
    let others = String::from(
        "select string_agg(query, ';') from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
            and application_name like 'exportbox%' and application_name not like 'exportbox export %'",
    );
    let others = stage.world.text(&others).await;
    assert!(others.contains("-- name: "), "{others}");
    stage.search("statements", &others);
    let own = stage.world.text(&format!("select query from pg_stat_activity where {own}")).await;
    assert!(!own.contains("canary-param-7431"), "a parameter is text: {own}");
    let address = address_in(&std::fs::read_to_string(&log).unwrap());
    for path in ["/metrics", "/ready", "/health"] {
        let (status, text) = page(&address, path).await;
        assert_eq!(status, 200, "{path}: {text}");
        stage.search(path, &text);
    }
    signal(&daemon, "KILL").await;
    daemon.wait().await.unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("working"), "{log}");
    stage.search("the daemon's log", &log);
    stage.world.set_jobs("lease_expires_at = now() - interval '1 s', deadline_at = now() - interval '1 s'", "state = 'running'").await;
    stage.say(&["drain", "--max-jobs", "1"], &[("EXPORTBOX_EXPORTER", "copy"), ("EXPORTBOX_TIMEOUT", "1s")]).await;
    stage.world.until(&format!("select count(*) = 0 from pg_stat_activity where application_name = 'exportbox export {id}'")).await;
    stage.world.cancel(id).await;
}

/// The database is away, refuses the password, or does not know the name; and a URL where none belongs.
async fn gone(stage: &mut Stage) {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let user = format!("{}_canary", stage.world.database);
    let wrong = crate::harness::postgres().url(&user, "canary-wrong-7431", &stage.world.database);
    let away = format!("postgres://ann:{PASSWORD}@127.0.0.1:{closed}/shop");
    let at = "postgres://ann:can@canary-7431@127.0.0.1/shop";
    let port = format!("postgres://ann:x@127.0.0.1:{PASSWORD}/shop");
    for url in [&wrong, &away, at, &port] {
        for command in [&["drain"][..], &["run"], &["status"], &["health"], &["migrate"], &["doctor"]] {
            assert_ne!(stage.say(command, &[("EXPORTBOX_DATABASE_URL", url)]).await, 0, "{command:?}");
        }
        assert_ne!(stage.say(&["drain"], &[("EXPORTBOX_SOURCE_URL", url), ("EXPORTBOX_MAIL", url)]).await, 0);
    }
    for arguments in [&["drain", &away][..], &["drain", "--slots", &away], &["drain", "--database-ur", &away], &["show", &away]] {
        assert_eq!(stage.say(arguments, &[]).await, 2, "{arguments:?}");
    }
    // The arguments of these are canaries themselves.
    for (command, _) in &mut stage.said {
        *command = command.replace(PASSWORD, "…");
    }
}

async fn search_all(stage: &mut Stage) {
    let mut lines = 0;
    for (command, output) in std::mem::take(&mut stage.said) {
        lines += stderr(&output).lines().count();
        for text in [stdout(&output), stderr(&output)] {
            // `show` lists the key in the bucket, whose last part is the file's name.
            stage.search(&command, &text.replace(FILENAME, ""));
        }
    }
    assert!(lines > 100, "only {lines} lines: the log is not talkative");
    let requester = stage.world.text("select distinct requested_by from exportbox.outbox").await;
    for role in ["exportbox_reader", "exportbox_worker", &requester] {
        let shown = stage.world.views_as(role).await;
        assert!(shown.contains("rejected"), "{role}");
        // Requesters see their own addresses.
        stage.search(role, &if role == requester { shown.replace(ADDRESS, "") } else { shown });
    }
    // An operator sees the other side's words, but neither a link nor a password in them.
    let shown = stage.world.views_as("exportbox_operator").await;
    assert!(shown.contains("spam https://b/canary-7431?X-Amz-Signature="), "nothing was echoed");
    if shown.contains("0f0f") || shown.contains("a:canary-7431@") {
        stage.leaks.push("exportbox_operator: a link or a login".into());
    }

    let labels = stage.world.store_labels().await;
    assert!(labels.contains("exportbox-export"), "{labels}");
    stage.search("keys and metadata", &labels);
    for mail in stage.world.mails() {
        assert_eq!(mail.tags.len(), 2);
        for (name, value) in mail.tags {
            assert!(value.parse::<uuid::Uuid>().is_ok(), "tag {name}: {value}");
        }
        for (name, value) in crate::harness::read_mail(&mail.raw).headers {
            if !matches!(name.as_str(), "to" | "subject" | "from" | "message-id") {
                stage.search(&format!("header {name}"), &value);
            }
        }
    }
}

#[tokio::test]
async fn no_canary_shows_anywhere_though_the_log_is_talkative() {
    play("human").await;
}

#[tokio::test]
async fn no_canary_shows_anywhere_though_the_log_is_talkative_and_json() {
    play("json").await;
}

#[tokio::test]
async fn what_the_job_tables_refuse_is_logged_without_its_data() {
    let mut world = World::new().await;
    world.may_leave_running = true;
    world.request("select 1", &[]).await;
    // What a trigger of the house's own, or a value that a later version cannot read, would say.
    world
        .sql(
            "create function public.says() returns trigger language plpgsql as $$ begin
                raise data_exception using message = 'canary-7431', detail = 'canary-7431', hint = 'canary-7431';
             end $$;
             create trigger says before update on exportbox.job for each row when (new.state in ('completed', 'pending')) execute function public.says()",
        )
        .await;
    for format in ["human", "json"] {
        let output = world.talkative(&["drain"], &world.daemon_url(), format).output().await.unwrap();
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert!(said.contains("SQLSTATE 22000") && leak_in(&said).is_none(), "{said}");
        world.set_jobs("lease_expires_at = now() + interval '1 hour'", "true").await;
        world.request("select 1", &[]).await;
    }
}

#[test]
#[ignore = "the panic of the next test, in a process of its own"]
fn a_child_that_panics_with_data() {
    init(&LogArgs { filter: "trace".into(), log_format: LogFormat::Json }).unwrap();
    let panicked = std::thread::spawn(|| panic!("{ADDRESS} postgres://a:{PASSWORD}@h")).join();
    assert!(panicked.is_err());
    tracing::info!(target: "exportbox", "it goes on");
}

#[test]
fn a_panic_says_where_and_nothing_of_what_was_being_handled() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "security::canary::a_child_that_panics_with_data", "--ignored", "--nocapture"])
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    let said = format!("{}{}", stdout(&child), stderr(&child));
    assert!(child.status.success() && said.contains("it goes on"), "{said}");
    assert!(said.contains("security/canary.rs") && said.contains("(panic)"), "{said}");
    assert!(leak_in(&said).is_none(), "{said}");
}

#[test]
fn a_leak_would_be_seen() {
    for leak in [
        "query canary-request",
        "to ann@example.com",
        "GET /x?X-Amz-Signature=0f",
        "postgres://exportbox_daemon:exportbox_daemon@c/d",
        "key test-secret",
        "RCPT TO:<ann.smith+x@customer.example>",
    ] {
        assert!(leak_in(leak).is_some(), "{leak}");
    }
    for fine in ["a***@example.com", "exportbox_daemon@/tmp/x/world_1", "X-Amz", "Exports <***@example.com>", ""] {
        assert!(leak_in(fine).is_none(), "{fine}");
    }
}
