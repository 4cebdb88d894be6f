//! One window of telemetry -> what a sustained load's window takes from it.

use super::window::{Device, Observed};
use model::telemetry::{Metric, Readings, ThrottleReasons};

impl Observed {
    pub fn of(readings: &Readings, seconds: f64) -> Self {
        let share_of_host = |ns: Option<f64>| {
            let total = readings.of(Metric::HostCpuTotalNs).filter(|total| *total > 0.0)?;
            Some((ns? / total).clamp(0.0, 1.0))
        };
        let busy = readings.of(Metric::HostCpuBusyNs);
        let others = busy.zip(readings.of(Metric::ProcessCpuNs)).map(|(all, ours)| all - ours);
        Self {
            rss_bytes: readings.of(Metric::ProcessRssBytes),
            pss_bytes: readings.of(Metric::ProcessPssBytes),
            // Of the agent alone if the driver reports it, else of all processes.
            gpu_bytes: (readings.of(Metric::GpuProcessMemoryBytes))
                .or_else(|| readings.of(Metric::GpuMemoryUsedBytes)),
            gpu: gpu(readings),
            cpu: cpu(readings, seconds),
            other_load: share_of_host(others),
            steal: share_of_host(readings.of(Metric::HostCpuStealNs)),
            withheld: share_of_host(readings.of(Metric::CgroupThrottledNs)),
        }
    }
}

fn gpu(readings: &Readings) -> Device {
    let reasons = readings.of(Metric::GpuThrottleReasons).and_then(ThrottleReasons::of_reading);
    let held = |reasons: &ThrottleReasons| {
        let throttling = reasons.reasons().filter(|reason| reason.is_throttle);
        throttling.map(|reason| (reason.name.to_owned(), 1.0)).collect()
    };
    Device {
        throttled: reasons.map(|reasons| f64::from(u8::from(reasons.is_throttled()))),
        by_reason: reasons.as_ref().map(held).unwrap_or_default(),
        mhz: readings.of(Metric::GpuSmMhz),
        celsius: readings.of(Metric::GpuTemperatureCelsius),
        watts: readings.of(Metric::GpuPowerWatts),
    }
}

/// A processor slows down for heat, or the control group's limit stops it.
fn cpu(readings: &Readings, seconds: f64) -> Device {
    let heat = readings.of(Metric::HostThermalThrottles);
    let heat = heat.map(|times| f64::from(u8::from(times > 0.0)));
    let limit = readings.of(Metric::CgroupThrottledNs);
    let limit = limit.map(|ns| (ns / 1e9 / seconds).clamp(0.0, 1.0));
    let named = [("heat", heat), ("control_group_limit", limit)];
    let held = named.iter().filter_map(|(name, share)| Some(((*name).to_owned(), (*share)?)));
    Device {
        throttled: heat.into_iter().chain(limit).reduce(f64::max),
        // With zeros: they say which causes could be read.
        by_reason: held.collect(),
        mhz: readings.of(Metric::HostCpuMhz),
        celsius: readings.of(Metric::HostTemperatureCelsius),
        watts: readings.of(Metric::CpuEnergyJoules).map(|joules| joules / seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(pairs: &[(Metric, f64)]) -> Observed {
        let mut readings = Readings::default();
        for (metric, value) in pairs {
            readings.set(*metric, *value);
        }
        Observed::of(&readings, 0.5)
    }

    #[test]
    fn what_was_not_read_is_null() {
        assert_eq!(observed(&[]), Observed::default());
    }

    #[test]
    fn shares_are_of_the_window_and_of_the_host() {
        let found = observed(&[
            (Metric::GpuThrottleReasons, f64::from(0x21)),
            (Metric::CgroupThrottledNs, 1e8),
            (Metric::HostThermalThrottles, 0.0),
            (Metric::HostCpuTotalNs, 1e9),
            (Metric::HostCpuBusyNs, 6e8),
            (Metric::ProcessCpuNs, 4e8),
            (Metric::CpuEnergyJoules, 5.0),
        ]);
        assert_eq!(found.gpu.throttled, Some(1.0));
        // Nothing to do holds clocks down, too, and is no throttling.
        assert_eq!(found.gpu.by_reason.keys().collect::<Vec<_>>(), ["sw_thermal_slowdown"]);
        assert!((found.cpu.by_reason["control_group_limit"] - 0.2).abs() < 1e-12);
        assert_eq!((found.cpu.throttled, found.cpu.watts), (Some(0.2), Some(10.0)));
        assert!((found.other_load.unwrap() - 0.2).abs() < 1e-12);
        assert_eq!((found.withheld, found.steal), (Some(0.1), None));
    }
}
