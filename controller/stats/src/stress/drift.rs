//! Whether latency or throughput drifts under sustained load.

use super::finding::{Finding, more_minutes};
use super::steady::{Steady, steady};
use super::{change::changes, slope::Line};
use crate::{Estimate, Limitation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Over the observed time a change of more than this share matters; a verdict must be able to detect it.
pub const MATTERS: f64 = 0.05;
/// A change of less than this share over the observed time is no drift, however sure it is.
pub const NEGLIGIBLE: f64 = 0.01;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The middle of the window, in seconds of measured time.
    pub at_s: f64,
    pub value: f64,
}

/// The drift of a quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// Whether it drifts: the interval leaves zero out, and the change over the observed time is at least 1 %.
    pub finding: Finding,
    /// When the steady state begins, in seconds; what comes before is in no figure: the first tenth, and up to a
    /// fifth if it is warm-up.
    pub steady_from_s: f64,
    /// Whether a steady state was found within the first fifth; else a drift, or chance, puts it later.
    pub is_steady: bool,
    /// Its mean in the steady state.
    pub mean: Option<f64>,
    /// The change per hour, as a share of the mean.
    pub per_hour: Estimate,
    /// The change over the observed time, as a share of the mean.
    pub over_all: Estimate,
    /// The smallest change per hour that would have been found in 90 % of campaigns, as a share of the mean.
    pub minimum_detectable_per_hour: Option<f64>,
    /// The same over the observed time.
    pub minimum_detectable_over_all: Option<f64>,
    /// Where its level changed at once.
    pub changes: Vec<LevelChange>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LevelChange {
    /// When, in seconds.
    pub at_s: f64,
    /// The level after it over the level before it, minus 1.
    pub share: f64,
}

impl Drift {
    pub fn unknown(n: u64, reason: Limitation) -> Self {
        Self {
            finding: Finding::Inconclusive { more_minutes: None },
            steady_from_s: 0.0,
            is_steady: false,
            mean: None,
            per_hour: Estimate::missing(n, reason),
            over_all: Estimate::missing(n, reason),
            minimum_detectable_per_hour: None,
            minimum_detectable_over_all: None,
            changes: Vec::new(),
        }
    }
}

/// Judges a series in order of time.
pub fn drift(series: &[Reading]) -> Drift {
    let values: Vec<f64> = series.iter().map(|reading| reading.value).collect();
    let Steady { from, is_found: is_steady } = steady(&values);
    let (series, values) = (&series[from..], &values[from..]);
    let n = series.len() as u64;
    let steady_from_s = series.first().map_or(0.0, |reading| reading.at_s);
    let observed_s = series.last().map_or(0.0, |reading| reading.at_s) - steady_from_s;
    let points: Vec<(f64, f64)> =
        series.iter().map(|reading| (reading.at_s / 3600.0, reading.value)).collect();
    let Some(line) = Line::fit(&points).filter(|line| line.at_mean > 0.0) else {
        return Drift { steady_from_s, is_steady, ..Drift::unknown(n, Limitation::TooFewWindows) };
    };
    let relative = |per_hour: f64| per_hour / line.at_mean;
    let hours = observed_s / 3600.0;
    let (low, high) = line.interval();
    let per_hour = Estimate::within(relative(line.per_x), (relative(low), relative(high)), n);
    let over_all = per_hour.map(|per_hour| per_hour * hours);
    let detectable = relative(line.minimum_detectable(NEGLIGIBLE * line.at_mean / hours));
    let over_all_detectable = detectable * hours;
    let is_sure = low > 0.0 || high < 0.0;
    let finding = if is_sure && over_all.value.is_some_and(|change| change.abs() >= NEGLIGIBLE) {
        Finding::Found
    } else if over_all_detectable > MATTERS {
        // The error of a change over all the time shrinks with its square root.
        let more_minutes = more_minutes(observed_s, over_all_detectable, MATTERS, 0.5);
        Finding::Inconclusive { more_minutes }
    } else {
        Finding::NotFound
    };
    let change = |change: &super::change::Change| LevelChange {
        at_s: series[change.at].at_s,
        share: change.after / change.before - 1.0,
    };
    let is_told = |change: &LevelChange| change.share.abs() >= NEGLIGIBLE;
    Drift {
        finding,
        steady_from_s,
        is_steady,
        mean: Some(line.at_mean),
        per_hour,
        over_all,
        minimum_detectable_per_hour: Some(detectable),
        minimum_detectable_over_all: Some(over_all_detectable),
        changes: changes(values).iter().map(change).filter(is_told).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(value: impl Fn(u32) -> f64) -> Vec<Reading> {
        let noise = |i: u32| f64::from((i * 7919 + 13) % 101) / 101.0 - 0.5;
        (0..300).map(|i| Reading { at_s: f64::from(i), value: value(i) + noise(i) }).collect()
    }

    #[test]
    fn what_grows_by_a_tenth_drifts_and_its_interval_holds_the_truth() {
        let found = drift(&series(|i| 100.0 + f64::from(i) / 30.0));
        assert!(found.finding.is_found());
        // 10 of 105 in 300 s are 120 of 105 in an hour.
        let (low, high) = found.per_hour.interval().unwrap();
        assert!(low < 120.0 / 105.0 && 120.0 / 105.0 < high, "{found:?}");
    }

    #[test]
    fn what_stays_does_not_and_says_what_would_have_been_found() {
        let found = drift(&series(|_| 100.0));
        assert_eq!(found.finding, Finding::NotFound);
        // What is below 1 % over the run is never called a drift, so none of that size would have been found.
        let over_all = found.minimum_detectable_over_all.unwrap();
        assert!((0.01..0.012).contains(&over_all), "{over_all}");
        assert_eq!(found.changes, []);
    }

    #[test]
    fn a_warm_up_is_no_drift() {
        let found = drift(&series(|i| if i < 45 { 140.0 } else { 100.0 }));
        assert_eq!((found.finding, found.steady_from_s), (Finding::NotFound, 60.0));
    }

    #[test]
    fn a_few_wild_windows_tell_nothing_and_say_how_many_more_would() {
        let few: Vec<Reading> = (0..20)
            .map(|i| Reading { at_s: f64::from(i), value: 100.0 + 40.0 * f64::from(i * 7919 % 5) })
            .collect();
        let Finding::Inconclusive { more_minutes } = drift(&few).finding else { panic!("tells") };
        assert!(more_minutes.unwrap() >= 1.0);
        assert_eq!(drift(&[]).finding, Finding::Inconclusive { more_minutes: None });
    }

    #[test]
    fn a_step_is_told_with_its_time_and_size() {
        let found = drift(&series(|i| if i < 150 { 100.0 } else { 110.0 }));
        assert!(
            found.changes.iter().any(|change| {
                (change.at_s - 150.0).abs() < 2.0 && (change.share - 0.1).abs() < 0.01
            }),
            "{found:?}"
        );
    }
}
