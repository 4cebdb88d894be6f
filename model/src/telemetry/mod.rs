//! Telemetry of the agent's process, host and GPUs. A reading that can't be taken is absent, never
//! zero.

mod instruments;
mod metric;
mod throttle;

pub use instruments::{Absence, Gpu, Instruments, NvmlLibrary};
pub use metric::{Kind, Metric};
pub use throttle::{Reason, ThrottleReasons};

use crate::words;

/// The sampler's default period.
pub const DEFAULT_PERIOD_MS: u32 = 250;

words!(
    /// The agent's activity during a window.
    Phase, "phase", {
        /// Before an engine is loaded: the machine's own power draw.
        Idle = "idle",
        Loading = "loading",
        Warming = "warming",
        Measuring = "measuring",
    }
);

/// The readings of a window, each of which may be absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings([Option<f64>; Metric::COUNT]);

impl Default for Readings {
    fn default() -> Self {
        Self([None; Metric::COUNT])
    }
}

impl Readings {
    pub fn of(&self, metric: Metric) -> Option<f64> {
        self.0[metric.index()]
    }

    /// A value that isn't finite is absent.
    pub fn set(&mut self, metric: Metric, value: impl Into<Option<f64>>) {
        self.0[metric.index()] = value.into().filter(|value| value.is_finite());
    }

    pub fn present(&self) -> impl Iterator<Item = (Metric, f64)> {
        Metric::all().filter_map(|metric| self.of(metric).map(|value| (metric, value)))
    }
}

/// The time between two readings of the instruments, by the same clock as the shard's samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub phase: Phase,
    /// Shard and attempt; null while idle.
    pub of: Option<(u64, u64)>,
    pub start_ns: u64,
    /// States are read at the end.
    pub end_ns: u64,
    pub readings: Readings,
}

impl Window {
    /// Checks what another program claims.
    pub fn check(self) -> Result<Self, Error> {
        let Self { start_ns, end_ns, .. } = self;
        if start_ns > end_ns || end_ns > i64::MAX.cast_unsigned() {
            return Err(Error::Times { start_ns, end_ns });
        }
        Ok(self)
    }

    pub fn seconds(&self) -> f64 {
        (self.end_ns - self.start_ns) as f64 / 1e9
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("implausible telemetry window from {start_ns} to {end_ns} ns")]
    Times { start_ns: u64, end_ns: u64 },
    /// Of a newer agent.
    #[error("a telemetry window of an unknown phase")]
    Phase,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_finite_is_absent() {
        let mut readings = Readings::default();
        readings.set(Metric::GpuPowerWatts, f64::NAN);
        assert_eq!(readings.present().count(), 0);
    }
}
