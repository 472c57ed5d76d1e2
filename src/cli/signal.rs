//! The first signal asks to stop, the second exits at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that SIGTERM and SIGINT cancel. The second signal ends the process with 128 + its number.
///
/// # Errors
/// The process may not handle signals.
pub(super) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let asked = stop.clone();
    tokio::spawn(async move {
        loop {
            let number = tokio::select! {
                _ = terminate.recv() => 15,
                _ = interrupt.recv() => 2,
            };
            if asked.is_cancelled() {
                std::process::exit(128 + number);
            }
            tracing::info!(signal = number, "stopping; a second signal exits at once");
            asked.cancel();
        }
    });
    Ok(stop)
}
