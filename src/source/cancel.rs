//! A query that is no longer wanted ends on the server, within seconds.

use std::time::Duration;

use super::Session;

/// How long the server may take to obey a cancel before its backend is terminated.
const OBEY: Duration = Duration::from_secs(5);

impl Session {
    /// Ask the server to stop what runs. Best effort: `end` makes sure.
    pub async fn interrupt(&self) {
        // Whatever comes of it, `end` is called next.
        let _ = tokio::time::timeout(OBEY, self.source.database().cancel(&self.cancel)).await;
    }

    /// Cancel what runs, wait until the backend has rolled back, and if it does not, terminate it.
    pub async fn end(self) {
        let (source, cancel, backend) = (self.source.clone(), self.cancel.clone(), self.backend);
        let (client, serving) = self.into_parts();
        // The cancel request is a message of its own protocol; RDS Proxy does not pass it on, so what follows does not rely on it.
        let asked = tokio::time::timeout(OBEY, source.database().cancel(&cancel)).await;
        drop(client);
        let Some(mut serving) = serving else { return };
        let obeyed = asked == Ok(true) && tokio::time::timeout(OBEY, &mut serving).await.is_ok();
        if !obeyed {
            serving.abort();
            match source.end_backend(backend).await {
                Ok(ended) => tracing::info!(backend.pid = backend.pid, ended, "terminated a query that did not obey a cancel"),
                Err(failure) => {
                    tracing::warn!(backend.pid = backend.pid, error.class = %failure.class, "could not end a query; its server notices within seconds that nobody listens")
                }
            }
        }
    }
}
