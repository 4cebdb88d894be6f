//! Windows, one after the other, into sums: a campaign of days takes no more memory than one of minutes.

use model::telemetry::{Kind, Metric, Readings, ThrottleReasons};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One metric over many windows. A state has mean, least and most; an amount has its total and its rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// Of a state: over time. Of an amount: per second.
    pub mean: f64,
    /// The smallest that was read; null for an amount.
    pub min: Option<f64>,
    /// The largest that was read; null for an amount.
    pub max: Option<f64>,
    /// Of an amount; null for a state.
    pub total: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Sum {
    seconds: f64,
    weighted: f64,
    total: f64,
    min: f64,
    max: f64,
}

impl Sum {
    fn merge(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.weighted += other.weighted;
        self.total += other.total;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Collector {
    sums: BTreeMap<Metric, Sum>,
    windows: u64,
    seconds: f64,
    /// Seconds in which each reason held the GPU's clocks down.
    by_reason: BTreeMap<&'static str, f64>,
    /// Seconds in which at least one did.
    throttled: f64,
    /// Seconds for which reasons were read.
    reasons_seen: f64,
    xids: BTreeSet<u64>,
}

impl Collector {
    /// Takes a window in. A window without length holds no rate and is passed over.
    pub fn add(&mut self, seconds: f64, readings: &Readings) {
        if seconds <= 0.0 {
            return;
        }
        self.windows += 1;
        self.seconds += seconds;
        for (metric, value) in readings.present() {
            match metric.kind() {
                Kind::State | Kind::Amount => self.sum(metric, seconds, value),
                Kind::Code => self.code(metric, seconds, value),
            }
        }
    }

    fn sum(&mut self, metric: Metric, seconds: f64, value: f64) {
        let one = Sum { seconds, weighted: value * seconds, total: value, min: value, max: value };
        self.sums.entry(metric).and_modify(|sum| sum.merge(&one)).or_insert(one);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the driver's error numbers are small and not negative"
    )]
    fn code(&mut self, metric: Metric, seconds: f64, value: f64) {
        if metric == Metric::GpuXid {
            self.xids.insert(value as u64);
        } else if let Some(reasons) = ThrottleReasons::of_reading(value) {
            self.reasons_seen += seconds;
            if reasons.is_throttled() {
                self.throttled += seconds;
            }
            for reason in reasons.reasons() {
                *self.by_reason.entry(reason.name).or_default() += seconds;
            }
        }
    }

    pub fn windows(&self) -> u64 {
        self.windows
    }

    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// How long the windows lasted in which a metric was read.
    pub fn seconds_of(&self, metric: Metric) -> f64 {
        self.sums.get(&metric).map_or(0.0, |sum| sum.seconds)
    }

    /// A metric over all windows in which it was read; null where it never was.
    pub fn figure(&self, metric: Metric) -> Option<Figure> {
        let sum = self.sums.get(&metric)?;
        Some(match metric.kind() {
            Kind::Amount => {
                // A metric that is read less often than every window still covers all of them.
                let mean = sum.total / self.seconds;
                Figure { mean, min: None, max: None, total: Some(sum.total) }
            }
            Kind::State | Kind::Code => Figure {
                mean: sum.weighted / sum.seconds,
                min: Some(sum.min),
                max: Some(sum.max),
                total: None,
            },
        })
    }

    pub fn total(&self, metric: Metric) -> Option<f64> {
        self.figure(metric)?.total
    }

    /// The share of the time in which the GPU was throttled, and for each reason the share in which it held;
    /// null where reasons were never read.
    pub fn throttled(&self) -> Option<(f64, BTreeMap<String, f64>)> {
        let share = |seconds: f64| seconds / self.reasons_seen;
        let reasons = self.by_reason.iter();
        let by_reason = reasons.map(|(name, seconds)| ((*name).to_owned(), share(*seconds)));
        (self.reasons_seen > 0.0).then(|| (share(self.throttled), by_reason.collect()))
    }

    /// The reasons that held the GPU's clocks down, harmless ones left out.
    pub fn throttle_reasons(&self) -> Vec<&'static str> {
        let slows = ThrottleReasons::KNOWN.iter().filter(|reason| reason.is_throttle);
        slows.map(|reason| reason.name).filter(|name| self.by_reason.contains_key(name)).collect()
    }

    pub fn xids(&self) -> Vec<u64> {
        self.xids.iter().copied().collect()
    }

    pub fn merge(&mut self, other: &Self) {
        for (metric, theirs) in &other.sums {
            self.sums.entry(*metric).and_modify(|ours| ours.merge(theirs)).or_insert(*theirs);
        }
        for (reason, seconds) in &other.by_reason {
            *self.by_reason.entry(reason).or_default() += seconds;
        }
        self.windows += other.windows;
        self.seconds += other.seconds;
        self.throttled += other.throttled;
        self.reasons_seen += other.reasons_seen;
        self.xids.extend(&other.xids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(pairs: &[(Metric, f64)]) -> Readings {
        let mut readings = Readings::default();
        for (metric, value) in pairs {
            readings.set(*metric, *value);
        }
        readings
    }

    #[test]
    fn states_are_averaged_over_time_and_amounts_added_up() {
        let mut windows = Collector::default();
        windows.add(1.0, &readings(&[(Metric::GpuSmMhz, 1500.0), (Metric::GpuEnergyJoules, 60.0)]));
        windows.add(3.0, &readings(&[(Metric::GpuSmMhz, 300.0), (Metric::GpuEnergyJoules, 20.0)]));
        windows.add(0.0, &readings(&[(Metric::GpuSmMhz, 9e9)]));
        let clock = windows.figure(Metric::GpuSmMhz).unwrap();
        assert_eq!(
            (clock.mean, clock.min, clock.max, clock.total),
            (600.0, Some(300.0), Some(1500.0), None)
        );
        let energy = windows.figure(Metric::GpuEnergyJoules).unwrap();
        assert_eq!((energy.mean, energy.total), (20.0, Some(80.0)));
        assert_eq!(windows.figure(Metric::HostCpuMhz), None, "what was never read is null");
    }

    #[test]
    fn shares_of_throttling_go_by_time_and_reason() {
        let mut windows = Collector::default();
        assert_eq!(windows.throttled(), None);
        for (seconds, bits) in [(2.0, 0.0), (1.0, f64::from(0x20)), (1.0, f64::from(0x1))] {
            windows.add(seconds, &readings(&[(Metric::GpuThrottleReasons, bits)]));
        }
        let (share, by_reason) = windows.throttled().unwrap();
        assert!((share - 0.25).abs() < 1e-12);
        for reason in ["sw_thermal_slowdown", "idle"] {
            assert!((by_reason[reason] - 0.25).abs() < 1e-12);
        }
    }

    #[test]
    fn merging_is_the_same_as_adding_all() {
        let parts = [(1.0, 5.0), (2.0, 7.0), (0.5, 1.0), (4.0, 2.0)];
        let of = |parts: &[(f64, f64)]| {
            let mut windows = Collector::default();
            for (seconds, value) in parts {
                let both = [
                    (Metric::HostCpuMhz, *value),
                    (Metric::GpuThrottleReasons, *value),
                    (Metric::GpuXid, *value),
                ];
                windows.add(*seconds, &readings(&both));
            }
            windows
        };
        let mut merged = of(&parts[..2]);
        merged.merge(&of(&parts[2..]));
        assert_eq!(merged, of(&parts));
    }
}
