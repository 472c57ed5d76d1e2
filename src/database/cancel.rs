//! A cancel request that arrives. A client that closes its connection right after sending one may close too early, because a pooler drops the
//! cancel request of a client that is gone. libpq waits until the other side closes, and so does this.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::CancelToken;
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;

use super::DatabaseUrl;

impl DatabaseUrl {
    /// Ask the server to stop what a connection runs, and wait until the request was taken. True: it was, as far as one can know.
    pub async fn cancel(&self, token: &CancelToken) -> bool {
        let mut tls = self.tls.clone();
        // With several hosts only the token knows which one it is; a local server takes the request at once.
        let ([Host::Tcp(host)], ports) = (self.config.get_hosts(), self.config.get_ports()) else {
            return token.cancel_query(tls).await.is_ok();
        };
        let port = ports.first().copied().unwrap_or(5432);
        let Ok(stream) = TcpStream::connect((host.as_str(), port)).await else { return false };
        let Ok(connect) = MakeTlsConnect::<Patient>::make_tls_connect(&mut tls, host);
        token.cancel_query_raw(Patient(stream), connect).await.is_ok()
    }
}

/// A stream that closes only after the other side has closed.
struct Patient(TcpStream);

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut bytes = [0; 64];
            let mut buffer = ReadBuf::new(&mut bytes);
            // A reset is an end as well.
            if ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer)).is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
