//! How a machine is, from what its agent read last.

use model::telemetry::{Metric, Readings};
use serde::Serialize;

const MIB: f64 = 1_048_576.0;

/// The figures that explain a latency while it is measured; null where the machine can't tell.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(super) struct Vitals {
    /// Busy processor time of the whole machine, in percent of what it has.
    cpu_pct: Option<f64>,
    cpu_mhz: Option<f64>,
    celsius: Option<f64>,
    /// Resident memory of the agent.
    rss_mb: Option<f64>,
    gpu_pct: Option<f64>,
    gpu_mhz: Option<f64>,
    gpu_celsius: Option<f64>,
    gpu_memory_mb: Option<f64>,
    /// Whether heat, a power limit or a control group held it back.
    is_throttled: bool,
}

impl Vitals {
    pub(super) fn of(readings: &Readings) -> Self {
        let of = |metric| readings.of(metric);
        let busy = of(Metric::HostCpuBusyNs).zip(of(Metric::HostCpuTotalNs));
        let was = |metric| of(metric).is_some_and(|amount| amount > 0.0);
        Self {
            cpu_pct: busy.filter(|(_, all)| *all > 0.0).map(|(busy, all)| busy / all * 100.0),
            cpu_mhz: of(Metric::HostCpuMhz),
            celsius: of(Metric::HostTemperatureCelsius),
            rss_mb: of(Metric::ProcessRssBytes).map(|bytes| bytes / MIB),
            gpu_pct: of(Metric::GpuUtilizationPct),
            gpu_mhz: of(Metric::GpuSmMhz),
            gpu_celsius: of(Metric::GpuTemperatureCelsius),
            gpu_memory_mb: of(Metric::GpuMemoryUsedBytes).map(|bytes| bytes / MIB),
            is_throttled: was(Metric::GpuPowerViolationNs)
                || was(Metric::GpuThermalViolationNs)
                || was(Metric::HostThermalThrottles)
                || was(Metric::CgroupThrottledNs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_is_null_and_not_zero() {
        let mut readings = Readings::default();
        readings.set(Metric::HostCpuBusyNs, 75.0);
        readings.set(Metric::HostCpuTotalNs, 100.0);
        readings.set(Metric::HostThermalThrottles, 1.0);
        let vitals = Vitals::of(&readings);
        assert_eq!((vitals.cpu_pct, vitals.celsius), (Some(75.0), None));
        assert!(vitals.is_throttled);
        assert_eq!(Vitals::of(&Readings::default()), Vitals::default());
    }
}
