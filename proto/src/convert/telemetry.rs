//! Telemetry windows.

use crate::wire;
use model::telemetry::{Error, Metric, Phase, Readings, Window};

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
        let mut readings = Readings::default();
        for reading in &wire.readings {
            if let Ok(metric) = reading.metric.parse::<Metric>() {
                readings.set(metric, reading.value);
            }
        }
        let of = (phase != Phase::Idle).then_some((wire.shard, wire.attempt));
        Self { phase, of, start_ns: wire.start_ns, end_ns: wire.end_ns, readings }.check()
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
}
