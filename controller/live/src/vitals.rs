//! The state of a machine, from its agent's latest telemetry.

use model::telemetry::{Metric, Readings};
use serde::Serialize;

const MIB: f64 = 1_048_576.0;

/// What explains a latency while it is measured. Null if the machine can't measure it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(super) struct Vitals {
    /// CPU utilization of the whole machine.
    cpu_pct: Option<f64>,
    cpu_mhz: Option<f64>,
    celsius: Option<f64>,
    /// Resident memory of the agent.
    rss_mb: Option<f64>,
    gpu_pct: Option<f64>,
    gpu_mhz: Option<f64>,
    gpu_celsius: Option<f64>,
    gpu_memory_mb: Option<f64>,
    /// Whether heat, a power limit or a cgroup throttled it.
    is_throttled: bool,
}

impl From<&Readings> for Vitals {
    fn from(readings: &Readings) -> Self {
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
    fn unmeasured_values_are_null_not_zero() {
        let mut readings = Readings::default();
        readings.set(Metric::HostCpuBusyNs, 75.0);
        readings.set(Metric::HostCpuTotalNs, 100.0);
        readings.set(Metric::HostThermalThrottles, 1.0);
        let vitals = Vitals::from(&readings);
        assert_eq!((vitals.cpu_pct, vitals.celsius), (Some(75.0), None));
        assert!(vitals.is_throttled);
        assert_eq!(Vitals::from(&Readings::default()), Vitals::default());
    }
}
