//! `sandbox`: runs the private services for people who develop an application that uses exportbox.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value, json};

use super::work::stop_on_signal;
use crate::admin::migrate::migrate;
use crate::database::DatabaseUrl;
use crate::sandbox::{DAEMON, S3, S3Options, Sandbox, SandboxOptions, Ses, SesOptions};

#[derive(Args)]
pub(super) struct SandboxArgs {
    /// Name of the database that is created in the private PostgreSQL
    #[arg(long, default_value = "shop")]
    database: String,
    /// Keep everything in this directory and leave it behind, instead of a temporary one
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Address that S3 and the mailbox listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Port of S3; a free one unless given
    #[arg(long)]
    s3_port: Option<u16>,
    /// Port of SES and of the mailbox page; a free one unless given
    #[arg(long)]
    ses_port: Option<u16>,
    /// Only S3 and the mailbox, for use beside a PostgreSQL of your own; takes AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY as its key
    #[arg(long)]
    without_postgres: bool,
    /// Print the environment as one line of JSON
    #[arg(long)]
    json: bool,
}

/// The role of the example application: may insert requests and ad-hoc queries.
pub(super) const APP: &str = "app";
const APP_PASSWORD: &str = "app";

/// Create the database with schema, the daemon's grants and an application role. Returns the application's URL.
pub(super) async fn prepare(sandbox: &Sandbox, database: &str) -> anyhow::Result<String> {
    sandbox.create_database(database).await?;
    let owner = sandbox.postgres.superuser_url_for(database);
    migrate(&DatabaseUrl::parse(&owner)?, false).await.context("migrate the sandbox's database")?;
    let client = sandbox.connect(database).await?;
    sandbox.grant_daemon(&client).await?;
    // Ad-hoc queries run as their requester, so the daemon's login must be able to become it.
    client
        .batch_execute(&format!(
            "create role {APP} login password '{APP_PASSWORD}';
             grant exportbox_requester, exportbox_adhoc to {APP};
             grant {APP} to {DAEMON};
             grant create on schema public to {APP};
             grant create on database \"{}\" to {APP}",
            database.replace('"', "\"\"")
        ))
        .await
        .context("create the application's role")?;
    Ok(sandbox.postgres.url(APP, APP_PASSWORD, database))
}

pub(super) async fn sandbox(args: &SandboxArgs) -> anyhow::Result<ExitCode> {
    let stop = stop_on_signal()?;
    if args.without_postgres {
        return store_and_mailbox(args, stop).await;
    }
    let mut options = SandboxOptions { host: args.listen, s3_port: args.s3_port, ses_port: args.ses_port, ..SandboxOptions::default() };
    options.postgres.keep_dir = args.dir.clone();
    let starting = async {
        let sandbox = Sandbox::start(options).await?;
        let app = prepare(&sandbox, &args.database).await?;
        anyhow::Ok((sandbox, app))
    };
    let (sandbox, app) = tokio::select! {
        started = starting => started?,
        // When it is dropped half-way, what was started removes its own files.
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let environment = sandbox.environment(&args.database);
    if args.json {
        let mut all: Map<String, Value> = environment.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        all.insert("APP_DATABASE_URL".into(), json!(app));
        all.insert("PSQL".into(), json!(sandbox.postgres.psql_command(&args.database)));
        println!("{}", Value::Object(all));
    } else {
        print_environment(&environment);
        println!("
# your application connects with
export APP_DATABASE_URL='{app}'

# as a superuser:  {psql}
# mails:           {mailbox}/            ({mails})
# files:           {files}
# faults:          curl {mailbox}/_sandbox/faults -H 'content-type: application/json' -d '{{\"operation\": \"SendEmail\", \"times\": 1, \"action\": {{\"error\": {{\"status\": 429, \"code\": \"TooManyRequestsException\", \"message\": \"slow down\"}}}}}}'
#
# In another terminal, with the lines above:
#   exportbox run &
#   psql \"$APP_DATABASE_URL\" -c \"insert into exportbox.outbox (query, recipients) values ('select now()', '{{ann@example.com}}') returning id\"
#
# Ctrl-C ends and removes everything.",
            psql = sandbox.postgres.psql_command(&args.database),
            mailbox = sandbox.ses.endpoint(),
            mails = sandbox.ses.dir().display(),
            files = sandbox.s3.dir().display(),
        );
    }
    stop.cancelled().await;
    sandbox.stop().await?;
    Ok(ExitCode::SUCCESS)
}

fn print_environment(environment: &[(String, String)]) {
    for (name, value) in environment {
        println!("export {name}='{}'", value.replace('\'', r"'\''"));
    }
}

async fn store_and_mailbox(args: &SandboxArgs, stop: tokio_util::sync::CancellationToken) -> anyhow::Result<ExitCode> {
    let key = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
    let (access_key, secret_key) = (key("AWS_ACCESS_KEY_ID", "sandbox"), key("AWS_SECRET_ACCESS_KEY", "sandbox-secret"));
    let region = key("AWS_REGION", "eu-west-1");
    let temporary = tempfile::tempdir().context("make a directory")?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().to_path_buf());
    let mut s3 = S3::start(&S3Options {
        dir: dir.join("s3"),
        access_key: access_key.clone(),
        secret_key: secret_key.clone(),
        buckets: vec!["exports".into()],
        host: args.listen,
        port: args.s3_port,
    })
    .await?;
    let mut ses = Ses::start(&SesOptions {
        dir: dir.join("mails"),
        host: args.listen,
        port: args.ses_port,
        region: region.clone(),
        access_key: Some(access_key.clone()),
        ..SesOptions::default()
    })
    .await?;
    let environment: Vec<(String, String)> = [
        ("EXPORTBOX_BUCKET", "exports".to_string()),
        ("AWS_REGION", region),
        ("AWS_ACCESS_KEY_ID", access_key),
        ("AWS_SECRET_ACCESS_KEY", secret_key),
        ("AWS_ENDPOINT_URL_S3", s3.endpoint()),
        ("AWS_ENDPOINT_URL_SESV2", ses.endpoint()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_string(), value))
    .collect();
    if args.json {
        let all: Map<String, Value> = environment.into_iter().map(|(name, value)| (name, json!(value))).collect();
        println!("{}", Value::Object(all));
    } else {
        print_environment(&environment);
    }
    stop.cancelled().await;
    s3.stop().await;
    ses.stop().await;
    Ok(ExitCode::SUCCESS)
}
