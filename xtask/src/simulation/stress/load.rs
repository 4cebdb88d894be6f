//! Loads that drift and loads that don't, with autocorrelated noise and cold starts.

use super::super::{Share, in_parallel, random};
use super::Noise;
use rand::Rng;
use stats::stress::Finding;
use stats::stress::drift::{Drift, Reading, drift};
use stats::stress::robust::median;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    /// Windows of 1 s.
    pub(crate) windows: u32,
    /// Standard deviation as a share of the mean.
    pub(crate) noise: f64,
    /// Correlation of the noise of neighboring windows.
    pub(crate) autocorrelation: f64,
    /// How much slower the first window is, as a share of the mean.
    pub(crate) cold: f64,
    /// Time constant of the decay of `cold`, in windows.
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
const AUTOCORRELATED: Load =
    Load { name: "autocorrelated noise", autocorrelation: 0.5, ..INDEPENDENT };

/// The loads of the table.
pub(crate) const LOADS: [Load; 9] = [
    INDEPENDENT,
    Load { name: "low noise", noise: 0.005, ..AUTOCORRELATED },
    AUTOCORRELATED,
    Load { name: "persistent noise", autocorrelation: 0.8, ..INDEPENDENT },
    Load { name: "a cool start", cold: 0.1, cold_windows: 7.5, ..AUTOCORRELATED },
    Load { name: "a cold start", cold: 0.3, cold_windows: 7.5, ..AUTOCORRELATED },
    Load { name: "a slow cold start", cold: 0.3, cold_windows: 15.0, ..AUTOCORRELATED },
    Load { name: "a longer run", windows: 1200, autocorrelation: 0.8, ..INDEPENDENT },
    Load { name: "few windows", windows: 60, ..INDEPENDENT },
];

/// How often the verdict on one load is right.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoadRow {
    pub(crate) name: String,
    pub(crate) windows: u32,
    pub(crate) noise: f64,
    pub(crate) autocorrelation: f64,
    /// How often the steady load is reported as drifting.
    pub(crate) false_alarms: Share,
    /// How often the interval of the steady load contains zero.
    pub(crate) covered: Share,
    /// How often the verdict on the steady load is inconclusive.
    pub(crate) inconclusive: Share,
    /// Median of the reported minimum detectable drifts over the run, as a share of the mean.
    pub(crate) minimum_detectable: f64,
    /// How often a drift of the minimum reported for a run is found in it, up and down in turn.
    pub(crate) found_at_minimum: Share,
    /// How often it is found in another run of the same load.
    pub(crate) found_in_another: Share,
}

pub(crate) fn rows(trials: u32, seed: u64) -> Vec<LoadRow> {
    in_parallel(LOADS.into_iter().zip(0..), |(load, row)| fill(&load, row, trials, seed))
}

fn fill(load: &Load, row: u64, trials: u32, seed: u64) -> LoadRow {
    let (mut false_alarms, mut covered, mut inconclusive) = <(Share, Share, Share)>::default();
    let (mut found_at_minimum, mut found_in_another) = <(Share, Share)>::default();
    let judge = |grows_by: f64, trial: u32| -> Drift {
        drift(&load.windows(grows_by, &mut random(seed, 7, row, trial)))
    };
    let hours = f64::from(load.windows) / 3600.0;
    let mut minima = Vec::new();
    for trial in 0..trials {
        let steady = judge(0.0, trial);
        false_alarms.count(Some(steady.finding.is_found()));
        covered.count(steady.per_hour.interval().map(|(low, high)| low <= 0.0 && 0.0 <= high));
        inconclusive.count(Some(matches!(steady.finding, Finding::Inconclusive { .. })));
        // The same run, and one with other noise, each with a drift of the minimum reported for it.
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
        covered,
        inconclusive,
        minimum_detectable: minimum,
        found_at_minimum,
        found_in_another,
    }
}

impl Load {
    /// Windows of a load whose mean grows by this share over the run.
    fn windows(&self, grows_by: f64, rng: &mut impl Rng) -> Vec<Reading> {
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
