//! Everything that watches a campaign: terminal or `--json`, live page, metrics, log, and spans.

use super::spans::Spans;
use campaign::{CampaignEvent, Observer};
use std::time::Duration;

pub(super) struct Observers {
    /// Observe first, since offers carry the context of their span.
    pub(super) spans: Spans,
    pub(super) others: Vec<Box<dyn Observer>>,
}

impl Observers {
    /// Shows an event to all observers but [`Observers::spans`].
    pub(super) fn observe(&mut self, event: &CampaignEvent, now: Duration) {
        self.others.iter_mut().for_each(|observer| observer.observe(event, now));
    }
}

/// Logs agents that violate the protocol.
pub(super) struct Log;

impl Observer for Log {
    fn observe(&mut self, event: &CampaignEvent, _: Duration) {
        if let CampaignEvent::AgentMisbehaved { agent, what } = event {
            tracing::warn!(%agent, "agent violated the protocol: {what}");
        }
    }
}
