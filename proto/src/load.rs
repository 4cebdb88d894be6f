//! How requests come, and what happens to them in a window of time.

use crate::histogram::{self, Histogram};
use crate::wire;
use serde::{Deserialize, Serialize};

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

impl TryFrom<wire::LoadWindow> for LoadWindow {
    type Error = Error;

    fn try_from(wire: wire::LoadWindow) -> Result<Self, Error> {
        let wire::LoadWindow { start_ns, end_ns, failed, not_sent, batches, .. } = wire;
        if start_ns > end_ns || end_ns > i64::MAX.cast_unsigned() {
            return Err(Error::Times { start_ns, end_ns });
        }
        let (input_tokens, output_tokens) = (wire.input_tokens, wire.output_tokens);
        if [failed, not_sent, batches, input_tokens, output_tokens].iter().any(|n| *n > 1 << 50) {
            return Err(Error::Counts);
        }
        let histogram =
            |wire: Option<wire::Histogram>| Histogram::try_from(wire.unwrap_or_default());
        Ok(Self {
            start_ns,
            end_ns,
            failed,
            not_sent,
            input_tokens,
            output_tokens,
            batches,
            latency: histogram(wire.latency)?,
            ttft: histogram(wire.ttft)?,
            schedule_delay: histogram(wire.schedule_delay)?,
        })
    }
}

impl From<LoadWindow> for wire::LoadWindow {
    fn from(window: LoadWindow) -> Self {
        Self {
            start_ns: window.start_ns,
            end_ns: window.end_ns,
            failed: window.failed,
            not_sent: window.not_sent,
            input_tokens: window.input_tokens,
            output_tokens: window.output_tokens,
            batches: window.batches,
            latency: Some(window.latency.into()),
            ttft: Some(window.ttft.into()),
            schedule_delay: Some(window.schedule_delay.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_survives_the_wire_and_lies_are_refused() {
        let mut window = LoadWindow { start_ns: 3, end_ns: 9, batches: 1, ..LoadWindow::default() };
        window.latency.add(6);
        assert_eq!((window.ok(), window.span_ns()), (1, 6));
        assert_eq!(
            LoadWindow::try_from(wire::LoadWindow::from(window.clone())),
            Ok(window.clone())
        );
        let lie = wire::LoadWindow { end_ns: 2, ..window.clone().into() };
        assert!(matches!(LoadWindow::try_from(lie), Err(Error::Times { .. })));
        let lie = wire::LoadWindow { failed: u64::MAX, ..window.into() };
        assert_eq!(LoadWindow::try_from(lie), Err(Error::Counts));
    }
}
