//! What a decision chooses from.

use stats::Estimate;
use stats::slo::Kept;
use stats::validity::Status;

#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub name: String,
    pub status: Status,
    /// Whether no cause of a DEGRADED status may have changed the figures.
    pub is_sound: bool,
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn candidate(name: &str, usd: f64, latency_ms: f64) -> Candidate {
        let estimate = |value: f64| Estimate::within(value, (value * 0.98, value * 1.02), 3);
        Candidate {
            name: name.to_owned(),
            status: Status::Valid,
            is_sound: true,
            usd_per_1000_requests: estimate(usd),
            latency_ms: estimate(latency_ms),
            quality: None,
            slo: None,
            hosts: 2,
            random_weights: false,
        }
    }
}
