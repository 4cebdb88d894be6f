//! The windows of one run -> every verdict on it.

use super::drift::{Drift, Reading, drift};
use super::influence::Exposed;
use super::interference::{Interference, interference};
use super::leak::{Held, Leak, MB, leak};
use super::throttling::{Throttling, throttling};
use super::window::{Window, Windows};
use crate::Limitation;
use crate::quantile::quantile_ms;
use model::histogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Points of the series that a report draws, at most.
const POINTS: usize = 300;

/// The kernel counts pages for every thread and adds them up when 64 have come together.
const RSS_STEP_MB: f64 = 0.25;
const PSS_STEP_MB: f64 = 1.0 / 1024.0;
/// Drivers map memory in pages of this size.
const GPU_STEP_MB: f64 = 2.0;

/// The verdicts on one run of a sustained load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdicts {
    pub run: u32,
    pub windows: u64,
    /// Windows that were planned; with fewer the verdict is one of a part.
    pub planned_windows: u64,
    /// The measured time, in seconds.
    pub measured_s: f64,
    /// Requests with a summary.
    pub counted: u64,
    pub failed: u64,
    /// Arrivals that found a full queue.
    pub not_sent: u64,
    /// From the intended start to the queue; null in closed loop.
    pub schedule_delay_ms: Option<Delay>,
    /// Of the mean `request_latency`.
    pub latency: Drift,
    pub throughput: Drift,
    /// Of the GPU; null where it isn't measurable.
    pub gpu_throttling: Option<Throttling>,
    /// Of the processors; null where it isn't measurable.
    pub cpu_throttling: Option<Throttling>,
    /// By other processes; null where it isn't measurable.
    pub other_processes: Option<Interference>,
    /// By the hypervisor; null where it isn't measurable.
    pub steal: Option<Interference>,
    /// By the control group's limit; null where it isn't measurable.
    pub control_group: Option<Interference>,
    /// Of resident memory; null where it isn't measurable.
    pub rss: Option<Leak>,
    /// Of the proportional share of memory; null where it isn't measurable.
    pub pss: Option<Leak>,
    /// Of GPU memory; null where it isn't measurable.
    pub gpu_memory: Option<Leak>,
    pub is_on_gpu: bool,
    pub series: Vec<Point>,
}

/// How late requests entered the queue, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Delay {
    pub p50: f64,
    /// 99 in 100.
    pub p99: f64,
    pub max: f64,
}

/// A stretch of the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Its middle, in seconds of measured time.
    pub at_s: f64,
    pub throughput: f64,
    /// The mean; null where no request ended.
    pub latency_mean_ms: Option<f64>,
    /// 19 in 20; null where no request ended.
    pub latency_p95_ms: Option<f64>,
    pub rss_mb: Option<f64>,
    pub gpu_memory_mb: Option<f64>,
    /// The share of it in which the GPU's clocks were held down.
    pub gpu_throttled: Option<f64>,
    pub gpu_mhz: Option<f64>,
    pub gpu_celsius: Option<f64>,
    /// The mean clock of the processors.
    pub cpu_mhz: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Conditions {
    pub run: u32,
    pub planned_windows: u64,
    pub is_on_gpu: bool,
    /// The rate of the load changes.
    pub rate_changes: bool,
    /// The maximum clock of the GPU, from its driver.
    pub gpu_max_mhz: Option<f64>,
    pub cpu_max_mhz: Option<f64>,
    /// A leak above this must be detected.
    pub max_leak_mb_per_hour: Option<f64>,
    /// All chance follows from it.
    pub seed: u64,
}

pub(super) fn merged<'a>(parts: impl IntoIterator<Item = &'a Histogram>) -> Histogram {
    let mut all = Histogram::default();
    parts.into_iter().for_each(|part| all.merge(part));
    all
}

fn mean_ms(histogram: &Histogram) -> Option<f64> {
    histogram.mean().map(|ns| ns / 1e6)
}

pub fn judge(windows: &Windows, conditions: Conditions) -> Verdicts {
    let all = windows.as_slice();
    let total = |count: fn(&Window) -> u64| all.iter().map(count).sum();
    let delays = merged(all.iter().map(|window| &window.load.schedule_delay));
    let exposed = |share: fn(&Window) -> Option<f64>| {
        let exposed = |window: &Window| {
            let share = share(window)?;
            Some((window.seconds, Exposed { throughput: window.throughput(), share }))
        };
        interference(&all.iter().filter_map(exposed).collect::<Vec<_>>())
    };
    let leaks = |bytes: fn(&Window) -> Option<f64>, step_mb: f64| {
        let mut requests = 0;
        let held = |window: &Window| {
            requests += window.load.ok();
            Some(Held { at_s: window.until_s(), requests, bytes: bytes(window)? })
        };
        let held: Vec<Held> = all.iter().filter_map(held).collect();
        let Conditions { max_leak_mb_per_hour, seed, .. } = conditions;
        (!held.is_empty()).then(|| leak(&held, step_mb, max_leak_mb_per_hour, seed))
    };
    let readings = |value: fn(&Window) -> Option<f64>| -> Vec<Reading> {
        all.iter().filter_map(|it| Some(Reading { at_s: it.at_s(), value: value(it)? })).collect()
    };
    let drifts = |value: fn(&Window) -> Option<f64>| match readings(value) {
        all if conditions.rate_changes => Drift::unknown(all.len() as u64, Limitation::RateChanges),
        all => drift(&all),
    };
    Verdicts {
        run: conditions.run,
        windows: windows.came(),
        planned_windows: conditions.planned_windows,
        measured_s: windows.seconds(),
        counted: total(|window| window.load.ok()),
        failed: total(|window| window.load.failed),
        not_sent: total(|window| window.load.not_sent),
        schedule_delay_ms: delay(&delays),
        latency: drifts(|window| mean_ms(&window.load.latency)),
        throughput: drifts(|window| Some(window.throughput())),
        gpu_throttling: throttling(all, |it| &it.observed.gpu, conditions.gpu_max_mhz)
            .filter(|_| conditions.is_on_gpu),
        cpu_throttling: throttling(all, |it| &it.observed.cpu, conditions.cpu_max_mhz),
        other_processes: exposed(|window| window.observed.other_load),
        steal: exposed(|window| window.observed.steal),
        control_group: exposed(|window| window.observed.withheld),
        rss: leaks(|window| window.observed.rss_bytes, RSS_STEP_MB),
        pss: leaks(|window| window.observed.pss_bytes, PSS_STEP_MB),
        gpu_memory: leaks(|window| window.observed.gpu_bytes, GPU_STEP_MB)
            .filter(|_| conditions.is_on_gpu),
        is_on_gpu: conditions.is_on_gpu,
        series: series(all),
    }
}

/// How late requests entered the queue; `None` in closed loop.
pub fn delay(delays: &Histogram) -> Option<Delay> {
    Some(Delay {
        p50: quantile_ms(delays, 0.5)?,
        p99: quantile_ms(delays, 0.99)?,
        max: delays.max()? as f64 / 1e6,
    })
}

/// At most [`POINTS`] points: adjacent ones are merged.
fn series(windows: &[Window]) -> Vec<Point> {
    let per_point = windows.len().div_ceil(POINTS).max(1);
    windows.chunks(per_point).filter_map(Window::joined).map(|window| point(&window)).collect()
}

fn point(window: &Window) -> Point {
    let observed = &window.observed;
    let mb = |bytes: Option<f64>| bytes.map(|bytes| bytes / MB);
    Point {
        at_s: window.at_s(),
        throughput: window.throughput(),
        latency_mean_ms: mean_ms(&window.load.latency),
        latency_p95_ms: quantile_ms(&window.load.latency, 0.95),
        rss_mb: mb(observed.rss_bytes),
        gpu_memory_mb: mb(observed.gpu_bytes),
        gpu_throttled: observed.gpu.throttled,
        gpu_mhz: observed.gpu.mhz,
        gpu_celsius: observed.gpu.celsius,
        cpu_mhz: observed.cpu.mhz,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Finding;
    use super::super::window::Observed;
    use super::*;
    use model::load::LoadWindow;

    /// 200 windows of 1 s with 100 requests; `slower` from the middle on.
    fn run(slower: u64, rss_bytes: impl Fn(u64) -> Option<f64>) -> Verdicts {
        judge(&windows(slower, rss_bytes), CONDITIONS)
    }

    const CONDITIONS: Conditions = Conditions {
        run: 1,
        planned_windows: 200,
        is_on_gpu: false,
        rate_changes: false,
        gpu_max_mhz: None,
        cpu_max_mhz: None,
        max_leak_mb_per_hour: None,
        seed: 0,
    };

    fn windows(slower: u64, rss_bytes: impl Fn(u64) -> Option<f64>) -> Windows {
        let mut windows = Windows::default();
        for index in 0..200_u64 {
            let mut load = LoadWindow {
                start_ns: index * 1_000_000_000,
                end_ns: (index + 1) * 1_000_000_000,
                ..LoadWindow::default()
            };
            for request in 0..100 + index * 7919 % 5 {
                let late = if index < 100 { 0 } else { slower };
                load.latency.add(10_000_000 + late + request * 1000);
            }
            windows.push(load, Observed { rss_bytes: rss_bytes(index), ..Observed::default() });
        }
        windows
    }

    #[test]
    fn what_nobody_observed_has_no_verdict() {
        let found = run(0, |_| None);
        assert_eq!((found.windows, found.counted), (200, 20_400));
        assert!(found.rss.is_none() && found.gpu_throttling.is_none() && found.steal.is_none());
        assert!(found.schedule_delay_ms.is_none());
        assert!(!found.latency.finding.is_found() && !found.throughput.finding.is_found());
    }

    #[test]
    fn a_slowdown_and_a_leak_are_both_told() {
        let found = run(2_000_000, |index| Some((200.0 + index as f64 / 10.0) * MB));
        assert!(found.latency.finding.is_found());
        assert!((found.latency.changes[0].at_s - 100.0).abs() < 1.0);
        let leak = found.rss.unwrap();
        assert!(leak.finding.is_found());
        // 0.1 MB a second.
        let (low, high) = leak.mb_per_hour.interval().unwrap();
        assert!(low <= 360.001 && 359.999 <= high);
    }

    #[test]
    fn no_drift_is_judged_while_the_rate_changes() {
        let conditions = Conditions { rate_changes: true, ..CONDITIONS };
        let found = judge(&windows(2_000_000, |_| None), conditions);
        for drift in [found.latency, found.throughput] {
            assert_eq!(drift.finding, Finding::Inconclusive { more_minutes: None });
            assert_eq!(drift.over_all.reason, Some(Limitation::RateChanges));
        }
    }

    #[test]
    fn long_runs_are_drawn_with_few_points() {
        let mut windows = Windows::default();
        for index in 0..1000_u64 {
            let (start_ns, end_ns) = (index * 1000, (index + 1) * 1000);
            let load = LoadWindow { start_ns, end_ns, ..LoadWindow::default() };
            windows.push(load, Observed::default());
        }
        let found = judge(&windows, Conditions::default());
        assert!(found.series.len() <= POINTS && found.series.len() > POINTS / 2);
    }
}
