//! What a decision chooses from.

use stats::Estimate;
use stats::slo::Kept;
use stats::validity::Status;

#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub name: String,
    pub status: Status,
    pub usd_per_1000_requests: Estimate,
    /// The percentile of request latency that counts, in milliseconds.
    pub latency_ms: Estimate,
    /// Mean rougeL; `None` without references.
    pub quality: Option<Estimate>,
    /// Whether it meets the objective; `None` without one.
    pub slo: Option<Kept>,
    pub hosts: u64,
    pub random_weights: bool,
}
