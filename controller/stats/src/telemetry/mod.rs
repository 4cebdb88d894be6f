//! Telemetry of a cell: load of other processes, throttling, memory.
//!
//! Sums of windows -> figures of one cell. A figure that couldn't be read is null.

pub mod collector;
pub mod credits;
pub mod energy;
pub mod timeline;

pub use collector::{Collector, Figure};
pub use timeline::{Timeline, Track};

use model::telemetry::{Absence, Kind, Metric};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was observed while a cell was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellTelemetry {
    /// The number of windows in the measured time.
    pub windows: u64,
    /// How long they lasted together, on all hosts.
    pub observed_s: f64,
    /// Processor time of the sampler itself, in percent of one core.
    pub sampler_cpu_pct: Option<f64>,
    /// Cores that the agent kept busy.
    pub process_cpu_cores: Option<f64>,
    /// What other processes took of the host's processor time.
    pub other_cpu_pct: Option<f64>,
    /// What the hypervisor kept of the host's processor time.
    pub cpu_steal_pct: Option<f64>,
    /// After how many measured seconds the CPU credits of a burstable instance seem to be spent, by its steal; null
    /// if nothing indicates it.
    pub cpu_credits_spent_after_s: Option<f64>,
    /// What the control group's limit held back of the host's processor time.
    pub cgroup_throttled_pct: Option<f64>,
    /// Of the GPU; null where the device is a CPU or nothing was readable.
    pub gpu: Option<GpuTelemetry>,
    /// Every metric by its name; null where it could not be read.
    pub readings: BTreeMap<String, Option<Figure>>,
    /// Over time, of the first hosts that measured it.
    pub timelines: Vec<Timeline>,
    /// What could not be measured there, and why.
    pub not_measurable: Vec<NotMeasurable>,
}

/// What was observed of the GPU that infers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GpuTelemetry {
    pub utilization_pct: Option<f64>,
    /// The share of the time in which clocks were held down by heat or power.
    pub throttled_share: Option<f64>,
    /// The share of the time for each reason that the driver gave, harmless ones included.
    pub throttled_by_reason: BTreeMap<String, f64>,
    /// Error numbers that the driver reported.
    pub xids: Vec<u64>,
}

/// Something that can't be measured there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct NotMeasurable {
    /// Such as `gpu` or `cpu_energy`.
    pub what: String,
    pub reason: String,
    /// What to do; null where nothing helps.
    pub remedy: Option<String>,
}

impl From<&Absence> for NotMeasurable {
    fn from(absence: &Absence) -> Self {
        let Absence { what, reason, remedy } = absence.clone();
        Self { what, reason, remedy }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    Cpu,
    Gpu,
}

pub fn summarize(
    windows: &Collector,
    device: Device,
    cpu_credits_spent_after_s: Option<f64>,
    absences: impl Iterator<Item = NotMeasurable>,
) -> Option<CellTelemetry> {
    if windows.windows() == 0 {
        return None;
    }
    let is_of_device =
        |what: &str| device == Device::Gpu || !(what == "gpu" || what.starts_with("gpu_"));
    let mut not_measurable: Vec<NotMeasurable> =
        absences.filter(|absence| is_of_device(&absence.what)).collect();
    not_measurable.sort();
    not_measurable.dedup();
    let per_second = |metric| windows.figure(metric).map(|figure| figure.mean / 1e9);
    let figures = Metric::all()
        .filter(|metric| metric.kind() != Kind::Code && is_of_device(metric.as_str()))
        .map(|metric| (metric.as_str().to_owned(), windows.figure(metric)))
        .collect();
    let percent = |share: f64| share * 100.0;
    Some(CellTelemetry {
        windows: windows.windows(),
        observed_s: windows.seconds(),
        sampler_cpu_pct: per_second(Metric::SamplerCpuNs).map(percent),
        process_cpu_cores: per_second(Metric::ProcessCpuNs),
        other_cpu_pct: other_load_share(windows).map(percent),
        cpu_steal_pct: steal_share(windows).map(percent),
        cpu_credits_spent_after_s,
        cgroup_throttled_pct: withheld_share(windows).map(percent),
        gpu: (device == Device::Gpu).then(|| gpu(windows)).flatten(),
        readings: figures,
        timelines: Vec::new(),
        not_measurable,
    })
}

fn gpu(windows: &Collector) -> Option<GpuTelemetry> {
    let throttled = windows.throttled();
    let is_seen = Metric::all()
        .any(|metric| metric.as_str().starts_with("gpu_") && windows.figure(metric).is_some());
    (is_seen || throttled.is_some()).then(|| GpuTelemetry {
        utilization_pct: windows.figure(Metric::GpuUtilizationPct).map(|figure| figure.mean),
        throttled_share: throttled.as_ref().map(|(share, _)| *share),
        throttled_by_reason: throttled.map(|(_, by_reason)| by_reason).unwrap_or_default(),
        xids: windows.xids(),
    })
}

fn share_of_host(windows: &Collector, ns: f64) -> Option<f64> {
    let total = windows.total(Metric::HostCpuTotalNs).filter(|total| *total > 0.0)?;
    Some((ns / total).max(0.0))
}

/// The share of the host's processor time that other processes took. The system counts in ticks of 10 ms, so
/// that of a short time it can seem to be below nothing, which is nothing.
pub fn other_load_share(windows: &Collector) -> Option<f64> {
    let busy = windows.total(Metric::HostCpuBusyNs)?;
    share_of_host(windows, busy - windows.total(Metric::ProcessCpuNs)?)
}

pub fn steal_share(windows: &Collector) -> Option<f64> {
    share_of_host(windows, windows.total(Metric::HostCpuStealNs)?)
}

pub fn withheld_share(windows: &Collector) -> Option<f64> {
    share_of_host(windows, windows.total(Metric::CgroupThrottledNs)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::telemetry::Readings;

    fn windows(pairs: &[(Metric, f64)]) -> Collector {
        let mut readings = Readings::default();
        for (metric, value) in pairs {
            readings.set(*metric, *value);
        }
        let mut windows = Collector::default();
        windows.add(2.0, &readings);
        windows
    }

    fn absent(what: &str) -> NotMeasurable {
        NotMeasurable { what: what.to_owned(), reason: "none".to_owned(), remedy: None }
    }

    #[test]
    fn without_windows_there_is_no_telemetry() {
        assert_eq!(summarize(&Collector::default(), Device::Gpu, None, std::iter::empty()), None);
    }

    #[test]
    fn what_was_not_read_is_null_and_never_zero() {
        let found = summarize(
            &windows(&[(Metric::ProcessCpuNs, 3e9)]),
            Device::Gpu,
            None,
            [absent("gpu")].into_iter(),
        )
        .unwrap();
        assert_eq!(found.process_cpu_cores, Some(1.5));
        assert_eq!((found.other_cpu_pct, found.cpu_steal_pct, &found.gpu), (None, None, &None));
        assert_eq!(found.readings["gpu_power_watts"], None);
        assert_eq!(found.not_measurable, [absent("gpu")]);
    }

    #[test]
    fn a_cpu_has_no_gpu_figures_and_misses_none() {
        let found = summarize(
            &windows(&[(Metric::GpuUtilizationPct, 50.0)]),
            Device::Cpu,
            None,
            [absent("gpu"), absent("gpu_energy"), absent("cpu_energy")].into_iter(),
        )
        .unwrap();
        assert_eq!(found.gpu, None);
        assert!(found.readings.keys().all(|name| !name.starts_with("gpu_")));
        assert_eq!(found.not_measurable, [absent("cpu_energy")]);
    }

    #[test]
    fn others_have_what_is_busy_and_not_ours() {
        let host = [
            (Metric::HostCpuTotalNs, 4e9),
            (Metric::HostCpuBusyNs, 3e9),
            (Metric::HostCpuStealNs, 0.2e9),
            (Metric::ProcessCpuNs, 2e9),
        ];
        assert_eq!(other_load_share(&windows(&host)), Some(0.25));
        assert!((steal_share(&windows(&host)).unwrap() - 0.05).abs() < 1e-12);
        let rounded = [host[0], (Metric::HostCpuBusyNs, 1.99e9), host[3]];
        assert_eq!(other_load_share(&windows(&rounded)), Some(0.0));
    }
}
