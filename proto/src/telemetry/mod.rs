//! What is observed beside the samples: readings of windows of time, and what can't be observed. Every reading
//! may be absent; what is absent was not measurable, and is never zero.

mod instruments;
mod metric;
mod throttle;

pub use instruments::{Absence, Gpu, Instruments, NvmlLibrary};
pub use metric::{Kind, Metric};
pub use throttle::{Reason, ThrottleReasons};

use crate::model::{Unknown, words};
use crate::wire;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

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

impl TryFrom<wire::Window> for Window {
    type Error = Error;

    /// Metrics of a newer agent are passed over.
    fn try_from(wire: wire::Window) -> Result<Self, Error> {
        let phase = match wire.phase() {
            wire::Phase::Idle => Phase::Idle,
            wire::Phase::Loading => Phase::Loading,
            wire::Phase::Warming => Phase::Warming,
            wire::Phase::Measuring => Phase::Measuring,
            wire::Phase::Unspecified => return Err(Error::Phase),
        };
        let (start_ns, end_ns) = (wire.start_ns, wire.end_ns);
        if start_ns > end_ns || end_ns > i64::MAX.cast_unsigned() {
            return Err(Error::Times { start_ns, end_ns });
        }
        let mut readings = Readings::default();
        for reading in &wire.readings {
            if let Ok(metric) = reading.metric.parse::<Metric>() {
                readings.set(metric, reading.value);
            }
        }
        let of = (phase != Phase::Idle).then_some((wire.shard, wire.attempt));
        Ok(Self { phase, of, start_ns, end_ns, readings })
    }
}

impl From<Window> for wire::Window {
    fn from(window: Window) -> Self {
        let phase = match window.phase {
            Phase::Idle => wire::Phase::Idle,
            Phase::Loading => wire::Phase::Loading,
            Phase::Warming => wire::Phase::Warming,
            Phase::Measuring => wire::Phase::Measuring,
        };
        let (shard, attempt) = window.of.unwrap_or_default();
        let reading = |(metric, value): (Metric, f64)| wire::Reading {
            metric: metric.as_str().to_owned(),
            value,
        };
        Self {
            phase: phase.into(),
            shard,
            attempt,
            start_ns: window.start_ns,
            end_ns: window.end_ns,
            readings: window.readings.present().map(reading).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let mut readings = Readings::default();
        readings.set(Metric::GpuTemperatureCelsius, 71.0);
        readings.set(Metric::ProcessMajorFaults, 0.0);
        Window { phase: Phase::Warming, of: Some((3, 4)), start_ns: 5, end_ns: 9, readings }
    }

    #[test]
    fn a_window_survives_the_wire_and_what_is_absent_stays_so() {
        let back = Window::try_from(wire::Window::from(window())).unwrap();
        assert_eq!(back, window());
        assert_eq!(back.readings.of(Metric::GpuPowerWatts), None);
        assert_eq!(back.readings.of(Metric::ProcessMajorFaults), Some(0.0));
    }

    #[test]
    fn a_metric_of_a_newer_agent_is_passed_over() {
        let mut wire = wire::Window::from(window());
        wire.readings.push(wire::Reading { metric: "gpu_mood".to_owned(), value: 1.0 });
        assert_eq!(Window::try_from(wire).unwrap(), window());
    }

    #[test]
    fn a_window_that_ends_before_it_begins_is_refused() {
        let wire = wire::Window { end_ns: 4, ..window().into() };
        assert_eq!(Window::try_from(wire), Err(Error::Times { start_ns: 5, end_ns: 4 }));
    }

    #[test]
    fn what_is_no_number_is_absent() {
        let mut readings = Readings::default();
        readings.set(Metric::GpuPowerWatts, f64::NAN);
        assert_eq!(readings.present().count(), 0);
    }
}
