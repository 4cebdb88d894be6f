//! Loads that get slower and loads that don't: noise that remembers, and a start that is cold.

use super::super::{Share, chance, side_by_side};
use super::Noise;
use rand::Rng;
use stats::stress::Finding;
use stats::stress::drift::{Drift, Reading, drift};
use stats::stress::robust::median;

/// A load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// What it is called.
    pub(crate) name: &'static str,
    /// How many windows of 1 s are watched.
    pub(crate) windows: u32,
    /// The standard deviation of the noise, as a share of the mean.
    pub(crate) noise: f64,
    /// The correlation of the noise from window to window.
    pub(crate) autocorrelation: f64,
    /// How much slower the first window is.
    pub(crate) cold: f64,
    /// The number of windows in which that fades but for a third.
    pub(crate) cold_windows: f64,
}

const INDEPENDENT: Load = Load {
    name: "independent",
    windows: 300,
    noise: 0.05,
    autocorrelation: 0.0,
    cold: 0.0,
    cold_windows: 1.0,
};
const REMEMBERS: Load = Load { name: "noise that remembers", autocorrelation: 0.5, ..INDEPENDENT };

/// The loads of the table.
pub(crate) const LOADS: [Load; 9] = [
    INDEPENDENT,
    Load { name: "hardly any noise", noise: 0.005, ..REMEMBERS },
    REMEMBERS,
    Load { name: "noise that lasts", autocorrelation: 0.8, ..INDEPENDENT },
    Load { name: "a cool start", cold: 0.1, cold_windows: 7.5, ..REMEMBERS },
    Load { name: "a cold start", cold: 0.3, cold_windows: 7.5, ..REMEMBERS },
    Load { name: "a slow cold start", cold: 0.3, cold_windows: 15.0, ..REMEMBERS },
    Load { name: "a longer run", windows: 1200, autocorrelation: 0.8, ..INDEPENDENT },
    Load { name: "few windows", windows: 60, ..INDEPENDENT },
];

/// How often the verdict on one load is right.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoadRow {
    /// The load.
    pub(crate) name: String,
    /// How many windows of 1 s were watched.
    pub(crate) windows: u32,
    /// The standard deviation of the noise, as a share of the mean.
    pub(crate) noise: f64,
    /// The correlation of the noise.
    pub(crate) autocorrelation: f64,
    /// How often the steady load is said to drift.
    pub(crate) false_alarms: Share,
    /// How often the interval holds zero.
    pub(crate) held: Share,
    /// How often the steady load is left open.
    pub(crate) left_open: Share,
    /// The median of the minimum detectable drifts that were printed, over the observed time, as a share of the mean.
    pub(crate) minimum_detectable: f64,
    /// How often a drift of the size that was printed for a run is found in it, up and down in turn.
    pub(crate) found_at_minimum: Share,
    /// How often it is found in another run of the same load.
    pub(crate) found_in_another: Share,
}

/// Fills the table.
pub(crate) fn rows(trials: u32, seed: u64) -> Vec<LoadRow> {
    side_by_side(LOADS.into_iter().zip(0..), |(load, row)| fill(&load, row, trials, seed))
}

fn fill(load: &Load, row: u64, trials: u32, seed: u64) -> LoadRow {
    let (mut false_alarms, mut held, mut left_open) = <(Share, Share, Share)>::default();
    let (mut found_at_minimum, mut found_in_another) = <(Share, Share)>::default();
    let judge = |grows_by: f64, trial: u32| -> Drift {
        drift(&load.watch(grows_by, &mut chance(seed, 7, row, trial)))
    };
    let hours = f64::from(load.windows) / 3600.0;
    let mut minima = Vec::new();
    for trial in 0..trials {
        let steady = judge(0.0, trial);
        false_alarms.count(Some(steady.finding.is_found()));
        held.count(steady.per_hour.interval().map(|(low, high)| low <= 0.0 && 0.0 <= high));
        left_open.count(Some(matches!(steady.finding, Finding::Inconclusive { .. })));
        // The same run again, and one with other noise, with a drift of the size that was printed for it.
        if let Some(minimum) = steady.minimum_detectable_per_hour.map(|per_hour| per_hour * hours) {
            minima.push(minimum);
            let grows_by = if trial % 2 == 0 { minimum } else { -minimum };
            found_at_minimum.count(Some(judge(grows_by, trial).finding.is_found()));
            found_in_another.count(Some(judge(grows_by, trials + trial).finding.is_found()));
        }
    }
    let minimum = median(&mut minima).unwrap_or_default();
    LoadRow {
        name: load.name.to_owned(),
        windows: load.windows,
        noise: load.noise,
        autocorrelation: load.autocorrelation,
        false_alarms,
        held,
        left_open,
        minimum_detectable: minimum,
        found_at_minimum,
        found_in_another,
    }
}

impl Load {
    /// Watches it while its mean grows by this share over all the time.
    fn watch(&self, grows_by: f64, rng: &mut impl Rng) -> Vec<Reading> {
        let mut noise = Noise::start(self.autocorrelation, rng);
        let window = |index: u32| {
            let passed = f64::from(index) / f64::from(self.windows);
            let cold = self.cold * (-f64::from(index) / self.cold_windows).exp();
            let value = 100.0 * (1.0 + grows_by * passed + cold + self.noise * noise.next(rng));
            Reading { at_s: f64::from(index) + 0.5, value }
        };
        (0..self.windows).map(window).collect()
    }
}
