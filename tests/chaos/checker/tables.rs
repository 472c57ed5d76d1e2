//! What the tables say, read with SQL of our own.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use tokio_postgres::Client;
use uuid::Uuid;

/// One export and its manifest.
#[derive(Debug)]
pub struct Export {
    pub jobs: i64,
    pub state: String,
    pub error_class: String,
    /// Attempts that claim to have completed it.
    pub completions: i64,
    /// Keys and sizes, in order.
    pub objects: Vec<(String, i64)>,
    pub rows: Option<i64>,
}

/// One mail as the tables see it.
#[derive(Debug)]
pub struct Delivery {
    pub job_id: Uuid,
    pub export_id: Uuid,
    pub status: String,
    pub error_class: String,
    pub link_expires_at: Option<DateTime<Utc>>,
    /// Events that say that a mail of it may have been sent.
    pub unknown: i64,
}

/// The mails to one address that tell of failures.
#[derive(Debug)]
pub struct Notices {
    pub accepted: i64,
    /// Events that say that one of them may have been sent.
    pub unknown: i64,
}

/// Everything.
pub struct Tables {
    pub orders: HashSet<Uuid>,
    pub exports: HashMap<Uuid, Export>,
    /// By recipient: each address is used by one request only.
    pub deliveries: HashMap<String, Delivery>,
    /// Mails about failures, by recipient.
    pub notices: HashMap<String, Notices>,
    pub attempts: i64,
    /// Attempts inside the database.
    pub inside: i64,
    pub reaped: i64,
}

impl Tables {
    pub async fn read(admin: &Client) -> Tables {
        let orders = admin.query("select id from shop.orders", &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        let exports = admin
            .query(
                "select o.id, count(distinct j.id), coalesce(min(j.state), ''), coalesce(min(j.error_class), ''),
                     count(a.number) filter (where a.outcome = 'completed')
                 from exportbox.outbox o
                 left join exportbox.jobs j on j.export_id = o.id and j.kind = 'export'
                 left join exportbox.attempts a on a.job_id = j.id
                 group by o.id",
                &[],
            )
            .await
            .unwrap();
        let mut exports: HashMap<Uuid, Export> = exports
            .iter()
            .map(|row| {
                let export = Export {
                    jobs: row.get(1),
                    state: row.get(2),
                    error_class: row.get(3),
                    completions: row.get(4),
                    objects: Vec::new(),
                    rows: None,
                };
                (row.get(0), export)
            })
            .collect();
        let objects = admin.query("select export_id, key, bytes, rows from exportbox.objects order by export_id, part", &[]).await.unwrap();
        for row in objects {
            let export = exports.get_mut(&row.get(0)).expect("a foreign key says so");
            export.objects.push((row.get(1), row.get(2)));
            export.rows = export.rows.or(row.get(3));
        }
        let deliveries = admin
            .query(
                "select d.recipient, d.id, d.export_id, d.status, coalesce(d.error_class, ''), d.link_expires_at,
                     (select count(*) from exportbox.events e where e.job_id = d.id and e.kind = 'unknown')
                 from exportbox.deliveries d where d.origin = 'export'",
                &[],
            )
            .await
            .unwrap();
        let count = deliveries.len();
        let deliveries: HashMap<String, Delivery> = deliveries
            .iter()
            .map(|row| {
                let delivery = Delivery {
                    job_id: row.get(1),
                    export_id: row.get(2),
                    status: row.get(3),
                    error_class: row.get(4),
                    link_expires_at: row.get(5),
                    unknown: row.get(6),
                };
                (row.get(0), delivery)
            })
            .collect();
        assert_eq!(count, deliveries.len(), "a recipient has two deliveries");
        let notices = admin
            .query(
                "select n.recipient, count(*) filter (where n.status = 'accepted'),
                     sum((select count(*) from exportbox.events e where e.job_id = n.id and e.kind = 'unknown'))::bigint
                 from exportbox.notices n group by n.recipient",
                &[],
            )
            .await
            .unwrap();
        let notices = notices.iter().map(|row| (row.get(0), Notices { accepted: row.get(1), unknown: row.get(2) })).collect();
        let attempts = "select count(*), count(*) filter (where exporter = 'aws_s3'), count(*) filter (where outcome = 'reaped') from exportbox.attempts";
        let attempts = admin.query_one(attempts, &[]).await.unwrap();
        Tables { orders, exports, deliveries, notices, attempts: attempts.get(0), inside: attempts.get(1), reaped: attempts.get(2) }
    }
}

/// How many of these processes have ever claimed a job.
pub async fn workers_among(admin: &Client, pids: &[u32]) -> u64 {
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    let worked = "select count(distinct worker) from exportbox.attempts where split_part(worker, ':', 2) = any($1)";
    admin.query_one(worked, &[&pids]).await.unwrap().get::<_, i64>(0).unsigned_abs()
}

/// What must not be there when everything has ended.
pub async fn left_over(admin: &Client) -> Vec<String> {
    let questions = [
        "select format('job %s (%s of %s) is %s: %s', id, kind, export_id, state, error_class) from exportbox.jobs
         where state in ('pending', 'running')",
        "select format('job %s is %s and holds a lease', id, state) from exportbox.job where lease_token is not null and state <> 'running'",
        "select format('attempt %s of job %s is open', number, job_id) from exportbox.attempts where finished_at is null",
        "select format('attempt %s of job %s (%s) is not swept', number, job_id, outcome) from exportbox.attempt
         where object_key is not null and outcome <> 'completed' and (swept_at is null or sweep_after < 'infinity')",
        "select format('%s is on hold: %s', scope, reason) from exportbox.control",
        "select format('backend %s still runs for %s', pid, application_name) from pg_stat_activity
         where application_name like 'exportbox %' and pid <> pg_backend_pid()",
        "select format('delivery %s is %s although its job is %s', id, status, job_state) from exportbox.deliveries
         where status in ('pending', 'sending') and job_state not in ('pending', 'running')",
    ];
    let mut left = Vec::new();
    for question in questions {
        left.extend(admin.query(question, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)));
    }
    left
}
