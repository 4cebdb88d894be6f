//! Refused connections: counted by reason, and logged once per peer, reason and minute, so that a flood can't fill the
//! log.

use model::text::plain;
use prometheus::{IntCounterVec, Opts};
use std::sync::{Mutex, PoisonError};
use std::{collections::HashMap, fmt, net::IpAddr, time::Duration};
use tokio::time::Instant;

const LOG_INTERVAL: Duration = Duration::from_mins(1);
/// Peers tracked for logging; further ones are only counted.
const MAX_PEERS: usize = 1024;

/// Label of the refusal counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Plaintext on a TLS port.
    NotTls,
    /// Failed handshake: a foreign, expired or damaged certificate, or a wrong host name.
    Handshake,
    /// Timed out.
    Silent,
    /// No token, a wrong token, or a certificate without a name.
    Identity,
    Revoked,
    /// Another protocol version or an unknown target.
    Mismatch,
    /// An invalid message.
    Message,
    /// Does not read its messages.
    SlowReader,
    /// `accept` failed, for example for lack of file descriptors.
    AcceptFailed,
}

impl Reason {
    pub const ALL: [Self; 9] = [
        Self::NotTls,
        Self::Handshake,
        Self::Silent,
        Self::Identity,
        Self::Revoked,
        Self::Mismatch,
        Self::Message,
        Self::SlowReader,
        Self::AcceptFailed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::Handshake => "handshake",
            Self::Silent => "silent",
            Self::Identity => "identity",
            Self::Revoked => "revoked",
            Self::Mismatch => "mismatch",
            Self::Message => "message",
            Self::SlowReader => "slow_reader",
            Self::AcceptFailed => "accept_failed",
        }
    }
}

pub struct Refusals {
    counter: IntCounterVec,
    logged: Mutex<HashMap<(Reason, Option<IpAddr>), LastLogged>>,
}

impl Default for Refusals {
    /// Every reason starts at zero, so that its time series exists.
    fn default() -> Self {
        let opts =
            Opts::new("fleetmark_refusals_total", "Refused connections and streams, by reason");
        let counter = IntCounterVec::new(opts, &["reason"]).expect("the metric name is valid");
        for reason in Reason::ALL {
            counter.with_label_values(&[reason.as_str()]);
        }
        Self { counter, logged: Mutex::default() }
    }
}

struct LastLogged {
    at: Instant,
    suppressed: u64,
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(Reason::ALL.map(|reason| (reason.as_str(), self.count(reason))))
            .finish()
    }
}

impl Refusals {
    /// Counts a refusal, and logs it unless the same was logged within [`LOG_INTERVAL`].
    pub fn add(&self, reason: Reason, peer: Option<IpAddr>, detail: &dyn fmt::Display) {
        let Some(suppressed) = self.count_one(reason, peer, Instant::now()) else { return };
        let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
        let detail = plain(&detail.to_string(), 300);
        tracing::warn!(reason = reason.as_str(), peer, suppressed, "refused: {detail}");
    }

    pub fn count(&self, reason: Reason) -> u64 {
        self.counter.with_label_values(&[reason.as_str()]).get()
    }

    pub(super) fn counter(&self) -> IntCounterVec {
        self.counter.clone()
    }

    /// How many were suppressed since the last log line, if this one is to be logged.
    fn count_one(&self, reason: Reason, peer: Option<IpAddr>, now: Instant) -> Option<u64> {
        self.counter.with_label_values(&[reason.as_str()]).inc();
        let mut known = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(logged) = known.get_mut(&(reason, peer)) {
            if now.duration_since(logged.at) < LOG_INTERVAL {
                logged.suppressed += 1;
                return None;
            }
            logged.at = now;
            return Some(std::mem::take(&mut logged.suppressed));
        }
        if known.len() >= MAX_PEERS {
            known.retain(|_, logged| now.duration_since(logged.at) < LOG_INTERVAL);
        }
        if known.len() >= MAX_PEERS {
            return None;
        }
        known.insert((reason, peer), LastLogged { at: now, suppressed: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_logged_once_a_minute_and_always_counted() {
        let refusals = Refusals::default();
        let peer = Some(IpAddr::from([192, 0, 2, 1]));
        let add = || refusals.count_one(Reason::Identity, peer, Instant::now());
        assert_eq!(add(), Some(0));
        assert_eq!((add(), add()), (None, None));
        assert_eq!(refusals.count_one(Reason::Message, peer, Instant::now()), Some(0));
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(add(), Some(2), "suppressed refusals are reported as a number");
        assert_eq!(refusals.count(Reason::Identity), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_peers_is_counted_and_not_logged() {
        let refusals = Refusals::default();
        let flood = u32::try_from(MAX_PEERS).unwrap() * 2;
        let logged = (0..flood)
            .filter(|&peer| {
                let peer = Some(IpAddr::from(peer.to_be_bytes()));
                refusals.count_one(Reason::Handshake, peer, Instant::now()).is_some()
            })
            .count();
        assert_eq!(logged, MAX_PEERS);
        assert_eq!(refusals.count(Reason::Handshake), u64::from(flood));
    }
}
