//! A TCP proxy between one worker and the database: cuts, stalls and lost replies.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They pass.
    Open,
    /// They wait until they may pass again; connections stay.
    Stalled,
    /// What the worker says passes, what the database answers is lost.
    LosingReplies,
    /// Every connection is closed, new ones at once.
    Cut,
}

/// The proxy of one worker.
pub struct Proxy {
    pub port: u16,
    mode: Arc<watch::Sender<Mode>>,
    /// Open connections: a fault that finds none has hit nobody.
    connections: watch::Sender<usize>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// In front of this port of the machine.
    pub async fn start(target: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(watch::channel(Mode::Open).0);
        let connections = watch::channel(0).0;
        let (modes, counted) = (mode.clone(), connections.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                if *modes.borrow() == Mode::Cut {
                    continue;
                }
                let (mode, counted) = (modes.subscribe(), counted.clone());
                tokio::spawn(async move {
                    // While the database is down the worker is refused, as it would be without us.
                    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
                    counted.send_modify(|open| *open += 1);
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let mut cut = mode.clone();
                    // Either end takes the other with it.
                    tokio::select! {
                        () = pass(from_client, to_server, mode.clone(), false) => {}
                        () = pass(from_server, to_client, mode, true) => {}
                        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
                    }
                    counted.send_modify(|open| *open -= 1);
                });
            }
        });
        Proxy { port, mode, connections, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Whether there is a connection to hit.
    pub fn is_used(&self) -> bool {
        *self.connections.borrow() > 0
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>, is_reply: bool) {
    let mut buffer = vec![0; 64 * 1024];
    let mut loses = false;
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        let Ok(now) = mode.wait_for(|mode| *mode != Mode::Stalled).await.map(|now| *now) else { return };
        // Once a reply is lost the rest would make no sense.
        loses |= is_reply && now == Mode::LosingReplies;
        if !loses && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
