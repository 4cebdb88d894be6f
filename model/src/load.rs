//! How requests come, and what happens to them in a window of time.

use crate::histogram::{self, Histogram};
use crate::words;
use serde::{Deserialize, Serialize};

words!(
    /// How requests arrive.
    Scenario, "scenario", {
        /// All requests are there; batches follow each other at once.
        Offline = "offline",
        /// One request at a time.
        SingleStream = "single_stream",
        /// Requests arrive by a rate.
        Server = "server",
        /// Sustained load for a duration.
        Stress = "stress",
    }
);

/// What happened in a window of a sustained load. Requests belong to the window in which they end. Times are of the
/// agent's monotonic clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadWindow {
    /// When it began.
    pub start_ns: u64,
    /// When it ended, with the end of a batch.
    pub end_ns: u64,
    /// Requests that brought no summary.
    pub failed: u64,
    /// Arrivals that found a full queue.
    pub not_sent: u64,
    /// Of all prompts.
    pub input_tokens: u64,
    /// Of all summaries.
    pub output_tokens: u64,
    /// Batches that were decoded.
    pub batches: u64,
    /// `request_latency` of those that brought a summary.
    pub latency: Histogram,
    /// Time to first token of these.
    pub ttft: Histogram,
    /// From the intended start until it stood in the queue; empty in closed loop.
    pub schedule_delay: Histogram,
}

impl LoadWindow {
    /// Checks what another program claims.
    ///
    /// # Errors
    /// [`Error`]
    pub fn check(self) -> Result<Self, Error> {
        let Self {
            start_ns, end_ns, failed, not_sent, input_tokens, output_tokens, batches, ..
        } = self;
        if start_ns > end_ns || end_ns > i64::MAX.cast_unsigned() {
            return Err(Error::Times { start_ns, end_ns });
        }
        if [failed, not_sent, batches, input_tokens, output_tokens].iter().any(|n| *n > 1 << 50) {
            return Err(Error::Counts);
        }
        Ok(self)
    }

    /// Requests that brought a summary.
    pub fn ok(&self) -> u64 {
        self.latency.count()
    }

    /// How long it lasted.
    pub fn span_ns(&self) -> u64 {
        self.end_ns - self.start_ns
    }
}

/// A window that can't be true.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It ends before it begins, or past the end of time.
    #[error("a window of a load from {start_ns} to {end_ns} ns can't be true")]
    Times {
        /// As claimed.
        start_ns: u64,
        /// As claimed.
        end_ns: u64,
    },
    /// More failures, tokens or batches than can be.
    #[error("a window of a load whose counts can't be true")]
    Counts,
    /// One of its histograms.
    #[error(transparent)]
    Histogram(#[from] histogram::Error),
}
