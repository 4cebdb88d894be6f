//! Who was refused and why: each reason is counted, and told once for each peer and minute, so that a flood
//! can't fill the log.

use prometheus::{IntCounterVec, Opts};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The same peer and reason is told again after this time.
const TOLD_EVERY: Duration = Duration::from_mins(1);
/// So many peers are told apart; beyond them a peer is only counted.
const MAX_PEERS: usize = 1024;

/// Why somebody was refused, as its counter is labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It didn't speak TLS on a port that does.
    NotTls,
    /// The handshake failed: a foreign, expired or damaged certificate, or a name that isn't ours.
    Handshake,
    /// It was silent for too long.
    Silent,
    /// No token, a wrong one, or a certificate without a name.
    Identity,
    /// Its token or certificate was revoked.
    Revoked,
    /// It isn't of this campaign: another protocol or an unknown target.
    Mismatch,
    /// It said what nobody may say.
    Message,
    /// It doesn't read what it is told.
    SlowReader,
    /// The system gives no more connections.
    NoRoom,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NotTls,
        Self::Handshake,
        Self::Silent,
        Self::Identity,
        Self::Revoked,
        Self::Mismatch,
        Self::Message,
        Self::SlowReader,
        Self::NoRoom,
    ];

    /// Its word in logs and metrics.
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
            Self::NoRoom => "no_room",
        }
    }
}

/// All refusals of a campaign.
pub struct Refusals {
    counter: IntCounterVec,
    told: Mutex<HashMap<(Reason, Option<IpAddr>), Told>>,
}

impl Default for Refusals {
    /// Every reason is there from the start, at zero.
    fn default() -> Self {
        let opts = Opts::new("fleetmark_refusals_total", "Who was refused, by why");
        let counter = IntCounterVec::new(opts, &["reason"]).expect("the name is well-formed");
        for reason in Reason::ALL {
            counter.with_label_values(&[reason.as_str()]);
        }
        Self { counter, told: Mutex::default() }
    }
}

struct Told {
    at: Instant,
    untold: u64,
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(Reason::ALL.map(|reason| (reason.as_str(), self.count(reason))))
            .finish()
    }
}

impl Refusals {
    /// Counts a refusal, and tells it unless the same was told a moment ago.
    pub fn add(&self, reason: Reason, peer: Option<IpAddr>, detail: &dyn fmt::Display) {
        let Some(untold) = self.count_one(reason, peer, Instant::now()) else { return };
        let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
        // What strangers say is quoted without its control characters.
        let detail: String =
            detail.to_string().chars().filter(|c| !c.is_control()).take(300).collect();
        tracing::warn!(reason = reason.as_str(), peer, untold, "refused: {detail}");
    }

    /// How often this was the reason.
    pub fn count(&self, reason: Reason) -> u64 {
        self.counter.with_label_values(&[reason.as_str()]).get()
    }

    /// To be registered.
    pub(super) fn counter(&self) -> IntCounterVec {
        self.counter.clone()
    }

    /// How many were counted and not told since, where this one is to be told.
    fn count_one(&self, reason: Reason, peer: Option<IpAddr>, now: Instant) -> Option<u64> {
        self.counter.with_label_values(&[reason.as_str()]).inc();
        let mut known = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = known.get_mut(&(reason, peer)) {
            if now.duration_since(told.at) < TOLD_EVERY {
                told.untold += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.untold));
        }
        if known.len() >= MAX_PEERS {
            known.retain(|_, told| now.duration_since(told.at) < TOLD_EVERY);
        }
        if known.len() >= MAX_PEERS {
            return None;
        }
        known.insert((reason, peer), Told { at: now, untold: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_told_once_a_minute_and_always_counted() {
        let refusals = Refusals::default();
        let peer = Some(IpAddr::from([192, 0, 2, 1]));
        let add = || refusals.count_one(Reason::Identity, peer, Instant::now());
        assert_eq!(add(), Some(0));
        assert_eq!((add(), add()), (None, None));
        assert_eq!(refusals.count_one(Reason::Message, peer, Instant::now()), Some(0));
        tokio::time::advance(TOLD_EVERY).await;
        assert_eq!(add(), Some(2), "those between are told as a number");
        assert_eq!(refusals.count(Reason::Identity), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_peers_is_counted_and_not_told() {
        let refusals = Refusals::default();
        let flood = u32::try_from(MAX_PEERS).unwrap() * 2;
        let told = (0..flood)
            .filter(|&peer| {
                let peer = Some(IpAddr::from(peer.to_be_bytes()));
                refusals.count_one(Reason::Handshake, peer, Instant::now()).is_some()
            })
            .count();
        assert_eq!(told, MAX_PEERS);
        assert_eq!(refusals.count(Reason::Handshake), u64::from(flood));
    }
}
