//! What is observed beside the samples: readings of windows of time, and what can't be observed. Every reading
//! may be absent; what is absent was not measurable, and is never zero.

mod instruments;
mod metric;
mod throttle;

pub use instruments::{Absence, Gpu, Instruments, NvmlLibrary};
pub use metric::{Kind, Metric};
pub use throttle::{Reason, ThrottleReasons};

use crate::words;

/// The sampler's period where nobody says another, in milliseconds.
pub const DEFAULT_PERIOD_MS: u32 = 250;

words!(
    /// What the agent does during a window.
    Phase, "phase", {
        /// Nothing, before anything is loaded: what the machine draws by itself.
        Idle = "idle",
        /// It loads an engine.
        Loading = "loading",
        /// It decodes batches that don't count.
        Warming = "warming",
        /// It decodes batches that count.
        Measuring = "measuring",
    }
);

/// The readings of a window, each there or absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings([Option<f64>; Metric::COUNT]);

impl Default for Readings {
    fn default() -> Self {
        Self([None; Metric::COUNT])
    }
}

impl Readings {
    /// A reading; null where it is absent.
    pub fn of(&self, metric: Metric) -> Option<f64> {
        self.0[metric.index()]
    }

    /// Takes a reading in. One that isn't a finite number is none.
    pub fn set(&mut self, metric: Metric, value: impl Into<Option<f64>>) {
        self.0[metric.index()] = value.into().filter(|value| value.is_finite());
    }

    /// Those that are there.
    pub fn present(&self) -> impl Iterator<Item = (Metric, f64)> {
        Metric::all().filter_map(|metric| self.of(metric).map(|value| (metric, value)))
    }
}

/// What was observed between two readings of the instruments. Times are of the same clock as the shard's samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// What the agent did.
    pub phase: Phase,
    /// Shard and attempt; none while idle.
    pub of: Option<(u64, u64)>,
    /// When it began.
    pub start_ns: u64,
    /// When it ended, and states were read.
    pub end_ns: u64,
    /// What was read.
    pub readings: Readings,
}

impl Window {
    /// Checks what another program claims.
    ///
    /// # Errors
    /// [`Error::Times`]
    pub fn check(self) -> Result<Self, Error> {
        let Self { start_ns, end_ns, .. } = self;
        if start_ns > end_ns || end_ns > i64::MAX.cast_unsigned() {
            return Err(Error::Times { start_ns, end_ns });
        }
        Ok(self)
    }

    /// How long it lasted.
    pub fn seconds(&self) -> f64 {
        (self.end_ns - self.start_ns) as f64 / 1e9
    }
}

/// A window that can't be true.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It ends before it begins, or past the end of time.
    #[error("a telemetry window from {start_ns} to {end_ns} ns can't be true")]
    Times {
        /// As claimed.
        start_ns: u64,
        /// As claimed.
        end_ns: u64,
    },
    /// A phase of a newer agent.
    #[error("a telemetry window of an unknown phase")]
    Phase,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_absent() {
        let mut readings = Readings::default();
        readings.set(Metric::GpuPowerWatts, f64::NAN);
        assert_eq!(readings.present().count(), 0);
    }
}
