//! A TCP proxy in front of the database, for networks that fail.

use std::sync::Arc;

use exportbox::database::DatabaseUrl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{World, postgres};

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They pass.
    Open,
    /// They wait until they may pass again.
    Paused,
    /// What the client says passes, what the server answers is lost.
    LosingReplies,
    /// New connections are closed at once.
    Cut,
    /// New connections are told this SQLSTATE, as a server that starts or stops does.
    Refusing(&'static str),
}

/// The proxy. Dropping it closes all connections.
pub struct Proxy {
    target: u16,
    port: u16,
    mode: Arc<watch::Sender<Mode>>,
    /// Counts up with each cut: none is missed, however soon all is well again.
    cuts: watch::Sender<u32>,
    _accepting: AbortOnDropHandle<()>,
}

impl World {
    /// From now on the daemon's bookkeeping goes through a proxy; its queries do not.
    pub async fn behind_proxy(&mut self) -> Proxy {
        let proxy = Proxy::start(postgres().port()).await;
        self.settings.database = proxy.database(self);
        proxy
    }
}

impl Proxy {
    /// In front of this port of the machine.
    pub async fn start(target: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(watch::channel(Mode::Open).0);
        let modes = mode.clone();
        let cuts = watch::channel(0).0;
        let subscribed = cuts.subscribe();
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let now = *modes.borrow();
                match now {
                    Mode::Cut => continue,
                    Mode::Refusing(code) => {
                        tokio::spawn(refuse(client, code));
                        continue;
                    }
                    _ => {}
                }
                let (mode, mut cut) = (modes.subscribe(), subscribed.clone());
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    // Either end takes the other with it.
                    tokio::select! {
                        () = pass(from_client, to_server, mode.clone(), false) => {}
                        () = pass(from_server, to_client, mode, true) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Proxy { target, port, mode, cuts, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// The same database through the proxy.
    pub fn url(&self, direct: &str) -> String {
        direct.replace(&format!(":{}/", self.target), &format!(":{}/", self.port))
    }

    /// The daemon's database of a world through the proxy.
    pub fn database(&self, world: &World) -> DatabaseUrl {
        DatabaseUrl::parse(&self.url(&world.daemon_url())).unwrap()
    }

    /// Hold back every byte until [`Proxy::resume`]; connections stay.
    pub fn pause(&self) {
        self.mode.send_replace(Mode::Paused);
    }

    /// Lose what the server answers from now on.
    pub fn lose_replies(&self) {
        self.mode.send_replace(Mode::LosingReplies);
    }

    /// Close every connection and refuse new ones until [`Proxy::resume`].
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Close every connection, and answer new ones with this SQLSTATE until [`Proxy::resume`].
    pub fn refuse(&self, code: &'static str) {
        self.mode.send_replace(Mode::Refusing(code));
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// All is well again.
    pub fn resume(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

/// The server's half of a start-up that is refused.
async fn refuse(mut client: TcpStream, code: &str) -> Option<()> {
    let mut length = [0; 4];
    loop {
        client.read_exact(&mut length).await.ok()?;
        let mut request = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() - 4];
        client.read_exact(&mut request).await.ok()?;
        if request != 80_877_103_u32.to_be_bytes() {
            break;
        }
        // It asks for TLS first.
        client.write_all(b"N").await.ok()?;
    }
    let body = format!("SFATAL\0VFATAL\0C{code}\0Mnot now\0\0");
    let mut message = vec![b'E'];
    message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    message.extend(body.into_bytes());
    client.write_all(&message).await.ok()
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    is_reply: bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut loses = false;
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        let now = *mode.wait_for(|mode| *mode != Mode::Paused).await.unwrap();
        // Once a reply is lost the rest would make no sense.
        loses |= is_reply && now == Mode::LosingReplies;
        if !loses && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
