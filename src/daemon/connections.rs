//! How many connections a process needs, and whether the servers have them.

use crate::config::Settings;
use crate::database::ConnectionLimits;
use crate::source::Source;

/// A process with these settings can never have the connections that it may need.
#[derive(Debug, thiserror::Error)]
#[error("EXPORTBOX_SLOTS={slots} {refusal}")]
pub struct DoesNotFit {
    slots: usize,
    refusal: String,
}

/// The most connections of one process: to the outbox, and to the source where that is another login.
pub(super) fn connections_needed(settings: &Settings) -> (i64, Option<i64>) {
    let exports = i64::try_from(settings.work.slots).unwrap_or(i64::MAX);
    let bookkeeping = i64::try_from(settings.policy.connections).unwrap_or(i64::MAX);
    // Behind a pooler, only exports keep a server connection; the short statements share the others. Nothing listens there.
    let own = if settings.database.is_pooled() { bookkeeping } else { bookkeeping + 1 };
    if settings.source.is_same_login(&settings.database) { (own + exports, None) } else { (own, Some(exports)) }
}

/// Refuse settings whose connections can never fit, and warn when they do not fit at this moment.
pub(super) async fn check_connections(settings: &Settings, outbox: ConnectionLimits, source: &Source) -> anyhow::Result<()> {
    let slots = settings.work.slots;
    let (at_outbox, at_source) = connections_needed(settings);
    let mut places = vec![("outbox", at_outbox, outbox)];
    if let Some(exports) = at_source {
        match source.limits().await {
            Ok(limits) => places.push(("source", exports, limits)),
            // It may answer again when the first export comes. If not, the export is tried again.
            Err(failure) => tracing::warn!(error.class = %failure.class, "the source cannot be asked how many connections it has"),
        }
    }
    // A split export works with fewer connections when it cannot get all.
    let helpers = i64::try_from(settings.split.backends.saturating_sub(1)).unwrap_or(i64::MAX);
    let on = if at_source.is_some() { "source" } else { "outbox" };
    for (place, needed, limits) in places {
        if let Some(refusal) = limits.refusal(needed) {
            return Err(DoesNotFit { slots, refusal }.into());
        }
        let needed = if place == on { needed + helpers } else { needed };
        let Some(tightest) = limits.tightest() else { continue };
        let (used, limit) = (tightest.used, tightest.most);
        if limits.is_short_of(needed) {
            tracing::warn!(
                place,
                connections.used = used,
                connections.limit = limit,
                connections.needed = needed,
                "fewer connections are free than this process may need: when none is left, exports are tried again later"
            );
        } else {
            tracing::info!(place, connections.used = used, connections.limit = limit, connections.needed = needed, "connections suffice");
        }
    }
    Ok(())
}
