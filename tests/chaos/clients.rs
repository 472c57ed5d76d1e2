//! The applications: transactions with a row of their own and a request, some rolled back, some cancelled later. A client that does not hear
//! whether its commit worked looks for its own row afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use chrono::Utc;
use fastrand::Rng;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::ledger::{Cancelled, Fate, Request, Wish};
use crate::world::{World, connect};

const CLIENTS: usize = 5;
/// With more unfinished jobs than this the clients wait: the round is about faults, not about load.
const ENOUGH: i64 = 120;

/// All clients.
pub struct Clients {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Clients {
    pub fn start(world: &Arc<World>, seed: u64) -> Clients {
        let (stop, mut tasks) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        let unfinished = Arc::new(AtomicI64::new(0));
        for client in 0..CLIENTS {
            let shop = Shop { world: world.clone(), client, rng: Rng::with_seed(seed * 100 + client as u64), connections: [None, None] };
            tasks.spawn(shop.trade(stop.clone(), unfinished.clone()));
        }
        tasks.spawn(watch(world.clone(), stop.clone(), unfinished));
        Clients { stop, tasks }
    }

    /// No new requests; every open question is answered first.
    pub async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

/// Counts what is unfinished, so that the clients know when to wait.
async fn watch(world: Arc<World>, stop: Arc<AtomicBool>, unfinished: Arc<AtomicI64>) {
    while !stop.load(Ordering::Relaxed) {
        if let Some(admin) = connect(&world.admin_url).await {
            let count = admin.query_one("select count(*) from exportbox.jobs where state in ('pending', 'running')", &[]).await;
            if let Ok(count) = count {
                unfinished.store(count.get(0), Ordering::Relaxed);
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

struct Shop {
    world: Arc<World>,
    client: usize,
    rng: Rng,
    /// As the role that exports through the daemon, and as the one that may use aws_s3.
    connections: [Option<Client>; 2],
}

impl Shop {
    async fn trade(mut self, stop: Arc<AtomicBool>, unfinished: Arc<AtomicI64>) {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(self.rng.u64(500..3500))).await;
            if unfinished.load(Ordering::Relaxed) > ENOUGH {
                continue;
            }
            let mut request = self.think_of_one();
            let wants_rollback = request.fate == Fate::RolledBack;
            request.fate = match self.order(&request).await {
                Some(fate) => fate,
                // Not heard: our own row knows. A rollback needs no look, and is looked at all the same.
                None => self.look(&request).await,
            };
            assert!(!wants_rollback || request.fate == Fate::RolledBack, "what was never committed is there: {}", request.id);
            let cancels = request.wish == Wish::Cancel && request.fate == Fate::Committed;
            self.world.ledger.add(request.clone());
            if cancels {
                tokio::time::sleep(Duration::from_millis(self.rng.u64(0..3000))).await;
                self.cancel(&request).await;
            }
        }
    }

    fn think_of_one(&mut self) -> Request {
        let rng = &mut self.rng;
        let id = Uuid::from_u128(rng.u128(..));
        let (large, slow) = (rng.u32(..100) < 12, rng.u32(..100) < 25);
        let gzip = rng.u32(..100) < 30;
        let wish = match rng.u32(..100) {
            0..8 => Wish::Cancel,
            8..11 => Wish::Broken,
            11..15 => Wish::Soon,
            _ => Wish::File,
        };
        Request {
            id,
            client: self.client,
            inside: rng.u32(..100) < 25,
            lines: if large { rng.usize(60_000..=self.world.lines.len()) } else { rng.usize(1..2000) },
            slow_s: if slow { rng.u32(1..7) } else { 0 },
            jsonl: rng.u32(..100) < 20,
            gzip,
            recipients: (0..rng.u32(..4)).map(|n| format!("r{n}.{}@example.com", id.simple())).collect(),
            wish,
            fate: if rng.u32(..100) < 15 { Fate::RolledBack } else { Fate::Committed },
            cancelled: None,
        }
    }

    /// A connection as the request's role; kept until it fails.
    async fn connection(&mut self, inside: bool) -> Option<&mut Client> {
        let kept = &mut self.connections[usize::from(inside)];
        if kept.as_ref().is_none_or(Client::is_closed) {
            *kept = connect(&self.world.client_urls[usize::from(inside)]).await;
        }
        kept.as_mut()
    }

    /// The transaction. None: it is not known how it ended.
    async fn order(&mut self, request: &Request) -> Option<Fate> {
        let drops_instead = request.fate == Fate::RolledBack && self.rng.bool();
        let Some(client) = self.connection(request.inside).await else { return Some(Fate::RolledBack) };
        let placing = async {
            let transaction = client.transaction().await?;
            transaction.execute("insert into shop.orders (id) values ($1)", &[&request.id]).await?;
            let not_after = (request.wish == Wish::Soon).then(|| Utc::now() + Duration::from_secs(4));
            let format = if request.jsonl { "jsonl" } else { "csv" };
            let compression = if request.gzip { "gzip" } else { "none" };
            let insert =
                "insert into exportbox.outbox (id, query, recipients, format, compression, not_after) values ($1, $2, $3, $4, $5, $6)";
            let query = request.query();
            transaction.execute(insert, &[&request.id, &query, &request.recipients, &format, &compression, &not_after]).await?;
            match request.fate {
                Fate::Committed => transaction.commit().await?,
                // Dropping it rolls back, too, but says so later, or never.
                Fate::RolledBack if drops_instead => drop(transaction),
                Fate::RolledBack => transaction.rollback().await?,
            }
            Ok::<_, tokio_postgres::Error>(request.fate)
        };
        match tokio::time::timeout(Duration::from_secs(20), placing).await {
            Ok(Ok(fate)) => Some(fate),
            Ok(Err(error)) => {
                // A refusal by the door would be a fault of ours; a server that goes down is the round.
                assert!(error.as_db_error().is_none_or(|said| !said.code().code().starts_with("EB")), "{error:?}");
                None
            }
            Err(_) => None,
        }
    }

    /// Whether our own row is there. The connection that was in doubt is gone by then, and with it its transaction.
    async fn look(&mut self, request: &Request) -> Fate {
        self.connections = [None, None];
        loop {
            if let Some(client) = self.connection(request.inside).await {
                // Whoever still holds the row's key in an unfinished transaction makes this wait.
                let asked = client.query_one("select exists (select from shop.orders where id = $1)", &[&request.id]).await;
                if let Ok(row) = asked {
                    return if row.get(0) { Fate::Committed } else { Fate::RolledBack };
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn cancel(&mut self, request: &Request) {
        let mut answer = None;
        if let Some(client) = self.connection(request.inside).await {
            let asked = client.query_one("select exportbox.cancel($1)", &[&request.id]).await;
            answer = asked.ok().map(|row| row.get(0));
        }
        self.world.ledger.cancelled(request.id, Cancelled { answer, at: Utc::now() });
    }
}
