//! What a simulation counts.

use super::latencies::Latencies;

pub(super) const HOUR_S: f64 = 3600.0;

/// The hour of the simulated period that a time is in.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an hour of a period")]
pub(super) fn hour_of(at_s: f64) -> usize {
    (at_s.max(0.0) / HOUR_S) as usize
}

/// Counts of one hour of the simulated period.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Hour {
    /// Requests that arrived.
    pub arrived: u64,
    /// Those of them that were answered within the limit.
    pub good: u64,
    /// Those of them that a serverless endpoint processed; 0 for fleets.
    pub processed: u64,
    /// Instance-seconds that were paid, of all types.
    pub paid_s: f64,
    /// Those of them that are of the base.
    pub base_paid_s: f64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Of answered requests.
    pub latencies: Latencies,
    pub arrived: u64,
    /// Answered within the limit.
    pub good: u64,
    /// Arrived at a full queue.
    pub rejected: u64,
    /// Lost with an interrupted instance.
    pub interrupted: u64,
    /// Failed because no instance was ready.
    pub without_instance: u64,
    /// Failed because their processing took too long.
    pub timed_out: u64,
    /// Arrived while an instance that the policy had requested was not ready.
    pub during_start: u64,
    /// Answered by instances of the base.
    pub answered_by_base: u64,
    /// Instance-seconds that were paid, of all types.
    pub paid_s: f64,
    /// Those of them that are of the base.
    pub base_paid_s: f64,
    /// Instance-seconds of processing.
    pub busy_s: f64,
    /// Paid instance-seconds beyond what the policy's target needed at the rate of that minute.
    pub tail_s: f64,
    /// The most instances at any time, starting ones included.
    pub most_instances: usize,
    /// Instances that were started after the beginning.
    pub starts: u64,
    pub hours: Vec<Hour>,
}

impl Outcome {
    /// Rejected, lost and failed requests over all, 0 to 1.
    pub fn error_share(&self) -> f64 {
        let failed = self.rejected + self.interrupted + self.without_instance + self.timed_out;
        failed as f64 / self.arrived.max(1) as f64
    }

    /// Requests answered within the limit over all, 0 to 1.
    pub fn good_share(&self) -> f64 {
        self.good as f64 / self.arrived.max(1) as f64
    }

    /// Requests that the base answered over all answered ones, 0 to 1.
    pub fn base_share(&self) -> f64 {
        self.answered_by_base as f64 / self.latencies.count().max(1) as f64
    }

    /// Processing time over paid time, 0 to 1.
    pub fn utilization(&self) -> f64 {
        if self.paid_s > 0.0 { (self.busy_s / self.paid_s).min(1.0) } else { 0.0 }
    }

    pub fn during_start_share(&self) -> f64 {
        self.during_start as f64 / self.arrived.max(1) as f64
    }
}
