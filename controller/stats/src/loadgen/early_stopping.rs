//! MLPerf's early stopping: how many requests show, with 99% confidence, that a percentile keeps a latency.
//!
//! "MLPerf Inference Rules", appendix "Early Stopping Criterion"; `loadgen/early_stopping.cc`. Requests count as
//! independent, so the intervals of [`crate::distribution`] are wider where requests depend on each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::function::beta::beta_reg;

/// How often a conclusion may be wrong.
const ERROR: f64 = 0.01;

/// A latency that a percentile keeps with 99% confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EarlyStopping {
    /// The share of requests, 0 to 1.
    pub share: f64,
    /// The fewest requests that have an estimate.
    pub needed_queries: u64,
    /// Null with fewer requests than needed.
    pub estimate: Option<EarlyStoppingEstimate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EarlyStoppingEstimate {
    /// The requests with the highest latencies, which the estimate leaves out.
    pub discarded: u64,
    pub latency_ns: u64,
}

impl EarlyStopping {
    /// Of latencies in order.
    pub(super) fn of(sorted: &[u64], share: f64) -> Self {
        let count = sorted.len() as u64;
        // How many may be above the estimate; one more may not.
        let above = last(count, |above| is_shown(count, above, share));
        let estimate = above.and_then(|above| {
            let place = usize::try_from(count - above).ok()?;
            Some(EarlyStoppingEstimate { discarded: above - 1, latency_ns: *sorted.get(place)? })
        });
        Self { share, needed_queries: needed(1, share), estimate }
    }
}

/// The fewest requests of which `over` may be over a limit, so that the share within it is shown.
pub(super) fn needed(over: u64, share: f64) -> u64 {
    let mut enough = over + 1;
    while !is_shown(enough, over, share) {
        enough *= 2;
    }
    let (mut low, mut high) = (over + 1, enough);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_shown(middle, over, share) { high = middle } else { low = middle + 1 }
    }
    low
}

/// The greatest count from 1 below `end` for which `holds` is true, which stays false once it is.
fn last(end: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (0, end.saturating_sub(1));
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) { low = middle } else { high = middle - 1 }
    }
    Some(low).filter(|&count| count > 0)
}

/// Whether at most `over` of `count` requests over the limit are too few for a share of requests within it that is
/// below `share`: the binomial distribution, as a regularized beta function.
fn is_shown(count: u64, over: u64, share: f64) -> bool {
    count > over && beta_reg((count - over) as f64, over as f64 + 1.0, share) < ERROR
}
