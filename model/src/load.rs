//! Arrival of requests, and the windows of a sustained load.

use crate::histogram::{self, Histogram};
use crate::words;
use serde::{Deserialize, Serialize};

words!(
    Scenario, "scenario", {
        /// All requests are available; batches run back to back.
        Offline = "offline",
        /// One request at a time.
        SingleStream = "single_stream",
        /// Requests arrive at a rate, or a number of clients sends them.
        Server = "server",
        /// A sustained load for a duration.
        Stress = "stress",
    }
);

/// The part of an agent in a run that several agents measure together, at one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Which of them it is, from 0.
    pub index: usize,
    /// Requests of each; their ratio if the load has no end.
    pub requests: Vec<u64>,
}

impl Share {
    /// Checks what another program claims: it is one of several, and there is something to send.
    pub fn check(self) -> Result<Self, Error> {
        let Self { index, requests } = &self;
        let all = requests.iter().try_fold(0_u64, |sum, next| sum.checked_add(*next));
        let is_one = requests.len() <= MAX_AGENTS && *index < requests.len();
        if is_one && all.is_some_and(|all| all > 0) { Ok(self) } else { Err(Error::Share) }
    }
}

/// Limit on the agents of a run.
const MAX_AGENTS: usize = 10_000;

/// One window of a sustained load. A request belongs to the window in which it ends. Times are of
/// the agent's monotonic clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadWindow {
    pub start_ns: u64,
    /// The end of a batch.
    pub end_ns: u64,
    pub failed: u64,
    /// Arrivals at a full queue.
    pub not_sent: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub batches: u64,
    /// Of successful requests.
    pub latency: Histogram,
    /// Time to first token of successful requests.
    pub ttft: Histogram,
    /// From the scheduled arrival to entering the queue; empty in closed loop.
    pub schedule_delay: Histogram,
    /// Gaps between consecutive chunks with text of streamed responses.
    #[serde(default)]
    pub chunk_gap: Histogram,
    /// Output tokens of the streamed responses.
    #[serde(default)]
    pub streamed_tokens: u64,
    /// Streamed responses.
    #[serde(default)]
    pub streamed: u64,
}

/// Limit on each count of a window: 2^40 is more than any window can hold, and 2^24 windows of them can be added.
const MAX_COUNT: u64 = 1 << 40;

impl LoadWindow {
    /// Checks what another program claims.
    pub fn check(self) -> Result<Self, Error> {
        let Self {
            start_ns, end_ns, failed, not_sent, input_tokens, output_tokens, batches, ..
        } = self;
        let Self { streamed_tokens, streamed, .. } = self;
        if start_ns > end_ns || end_ns > i64::MAX.cast_unsigned() {
            return Err(Error::Times { start_ns, end_ns });
        }
        let counts = [failed, not_sent, batches, input_tokens, output_tokens];
        if counts.iter().chain(&[streamed_tokens, streamed]).any(|n| *n > MAX_COUNT) {
            return Err(Error::Counts);
        }
        Ok(self)
    }

    /// Adds the requests of another window; the times stay.
    pub fn merge(&mut self, other: &Self) {
        self.failed += other.failed;
        self.not_sent += other.not_sent;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.batches += other.batches;
        self.latency.merge(&other.latency);
        self.ttft.merge(&other.ttft);
        self.schedule_delay.merge(&other.schedule_delay);
        self.chunk_gap.merge(&other.chunk_gap);
        self.streamed += other.streamed;
        self.streamed_tokens += other.streamed_tokens;
    }

    pub fn ok(&self) -> u64 {
        self.latency.count()
    }

    pub fn span_ns(&self) -> u64 {
        self.end_ns - self.start_ns
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("implausible load window from {start_ns} to {end_ns} ns")]
    Times { start_ns: u64, end_ns: u64 },
    #[error("implausible counts in a load window")]
    Counts,
    #[error("invalid share of a load")]
    Share,
    #[error(transparent)]
    Histogram(#[from] histogram::Error),
}
