//! What would resolve two cells without a significant difference: more runs, more samples, or more hosts,
//! by the dominating source of variance.

use super::super::interval::{ALPHA, t_critical};
use super::super::variance::{Component, VarianceShares};
use super::contrast::Contrast;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is needed more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Runs: they differ more than requests do within them.
    Runs,
    /// Samples: requests differ more than runs do.
    Samples,
    /// Hosts: one per target says nothing about the instance type.
    Hosts,
}

/// Advice for two cells without a significant difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Separation {
    /// What is needed more of.
    pub need: Need,
    /// Runs that would find a difference of the size seen in four of five campaigns, as things vary now;
    /// null if more than 1,000 would be needed, or with a single run.
    pub runs: Option<u32>,
    /// How much each source varies; null with one run, which doesn't show it.
    pub spread: Option<Spread>,
    /// The fewest hosts on a side.
    pub hosts: u64,
}

/// Relative standard deviations of both sides together, as shares. Null where a source can't be separated from others
/// on one of the sides, as hosts can't if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    pub hosts: Option<f64>,
    pub runs: Option<f64>,
    /// What requests add to the mean of a run.
    pub samples: Option<f64>,
}

pub const MOST_RUNS: u32 = 1000;
/// The chance with which the advised runs find a difference of the size seen.
const POWER: f64 = 0.8;

/// Advises on a contrast that is judged at the level `alpha`; `None` without a ratio.
pub fn separate(
    contrast: &Contrast,
    alpha: f64,
    baseline: &VarianceShares,
    candidate: &VarianceShares,
) -> Option<Separation> {
    let variance = |component: &Option<Component>| {
        component.as_ref().map(|component| component.relative_std.ln_1p().powi(2))
    };
    let both = |of: fn(&VarianceShares) -> &Option<Component>| {
        Some(variance(of(baseline))? + variance(of(candidate))?)
    };
    let (hosts, of_runs, residual) = (both(|v| &v.host), both(|v| &v.run), both(|v| &v.residual));
    contrast.log_ratio?;
    let hosts_measured = contrast.hosts;
    if contrast.error.is_none() {
        let need = Need::Runs;
        return Some(Separation { need, runs: None, spread: None, hosts: hosts_measured });
    }
    let of_samples = residual.map(|residual| residual / contrast.shared_samples.max(1) as f64);
    // None is below every number: what isn't known asks for nothing.
    let need = if hosts > of_runs && hosts > of_samples {
        Need::Hosts
    } else if of_samples > of_runs {
        Need::Samples
    } else {
        Need::Runs
    };
    let runs = runs_to_exclude(contrast, 0.0, alpha);
    let deviation = |variance: Option<f64>| variance.map(|variance| variance.sqrt().exp_m1());
    let spread = Spread {
        hosts: deviation(hosts),
        runs: deviation(of_runs),
        samples: deviation(of_samples),
    };
    Some(Separation { need, runs, spread: Some(spread), hosts: hosts_measured })
}

/// The fewest runs, more than there were, whose interval at the level `alpha` excludes a log ratio of `bound` in
/// [`POWER`] of campaigns, as things vary now; `None` above [`MOST_RUNS`].
pub fn runs_to_exclude(contrast: &Contrast, bound: f64, alpha: f64) -> Option<u32> {
    let distance = (contrast.log_ratio? - bound).abs();
    let (error, degrees) = contrast.error?;
    let runs_now = contrast.runs as f64;
    let deviation = error * runs_now.sqrt();
    // Runs that aren't paired have the degrees of freedom of both sides.
    let per_run = degrees / (runs_now - 1.0).max(1.0);
    let fewest = u32::try_from(contrast.runs).ok()?.saturating_add(1).max(2);
    (fewest..=MOST_RUNS).find(|&runs| {
        let degrees = per_run * (f64::from(runs) - 1.0);
        reach(degrees, alpha) * deviation / f64::from(runs).sqrt() <= distance
    })
}

/// How many standard errors a difference must have to be found in [`POWER`] of campaigns.
fn reach(degrees: f64, alpha: f64) -> f64 {
    // The second term is the one-sided quantile of the power.
    t_critical(degrees, alpha) + t_critical(degrees, 2.0 * (1.0 - POWER))
}

/// The smallest relative difference between two cells that `runs` paired runs show in [`POWER`] of campaigns, if it is
/// one of `family` comparisons: 0.1 is a ratio of 1.1. `run_spread` is the relative standard deviation of a cell's runs.
/// `None` for a single run.
pub fn smallest_difference(runs: u32, run_spread: f64, family: usize) -> Option<f64> {
    let degrees = f64::from(runs.checked_sub(1).filter(|degrees| *degrees > 0)?);
    // Both sides vary.
    let error = run_spread.ln_1p() * (2.0 / f64::from(runs)).sqrt();
    let alpha = ALPHA / family.max(1) as f64;
    Some((reach(degrees, alpha) * error).exp_m1())
}

#[cfg(test)]
mod tests {
    use super::super::contrast::Rounds;
    use super::*;

    fn contrast(log_ratio: f64, deviation: f64) -> Contrast {
        Contrast {
            log_ratio: Some(log_ratio),
            error: Some((deviation / 3.0_f64.sqrt(), 2.0)),
            rounds: Rounds::Paired,
            runs: 3,
            shared_samples: 100,
            reason: None,
            hosts: 1,
        }
    }

    fn shares(run: f64, residual: f64) -> VarianceShares {
        let component = |relative_std| Some(Component { relative_std, share: 0.5 });
        VarianceShares {
            host: None,
            run: component(run),
            sample: None,
            residual: component(residual),
        }
    }

    #[test]
    fn the_larger_share_says_what_there_should_be_more_of() {
        let advise = |run, residual| {
            separate(&contrast(0.01, 0.01), ALPHA, &shares(run, residual), &shares(run, residual))
                .unwrap()
                .need
        };
        assert_eq!(advise(0.02, 0.05), Need::Runs);
        assert_eq!(advise(0.001, 0.05), Need::Samples);
    }

    #[test]
    fn a_source_that_one_side_does_not_show_has_no_spread() {
        let host = Some(Component { relative_std: 0.5, share: 0.5 });
        let (one, two) = (shares(0.02, 0.05), VarianceShares { host, ..shares(0.02, 0.05) });
        let advice = separate(&contrast(0.01, 0.01), ALPHA, &one, &two).unwrap();
        let spread = advice.spread.unwrap();
        assert_eq!((advice.need, spread.hosts), (Need::Runs, None));
        assert!(spread.runs.is_some() && spread.samples.is_some());
    }

    #[test]
    fn one_run_asks_for_runs_whatever_requests_do() {
        let one_run = Contrast { error: None, runs: 1, ..contrast(0.01, 0.01) };
        let advice = separate(&one_run, ALPHA, &shares(0.0, 0.2), &shares(0.0, 0.2)).unwrap();
        assert_eq!((advice.need, advice.runs), (Need::Runs, None));
    }

    #[test]
    fn cells_that_share_nothing_need_no_more_runs() {
        let nothing = Contrast { log_ratio: None, error: None, runs: 0, ..contrast(0.0, 0.0) };
        assert_eq!(separate(&nothing, ALPHA, &shares(0.0, 0.2), &shares(0.0, 0.2)), None);
    }

    #[test]
    fn the_advised_runs_are_those_of_the_power_formula() {
        // Lehr's rule for one sample: about (1.96 + 0.84)^2 = 7.9 variances per squared difference; t adds
        // two runs.
        let runs = runs_to_exclude(&contrast(0.01, 0.01), 0.0, ALPHA).unwrap();
        assert!((9..=11).contains(&runs), "{runs}");
        assert_eq!(runs_to_exclude(&contrast(0.0, 0.01), 0.0, ALPHA), None);
        let corrected = runs_to_exclude(&contrast(0.01, 0.01), 0.0, ALPHA / 18.0).unwrap();
        assert!(corrected > runs + 5, "a larger family needs more: {corrected}");
        let clear = runs_to_exclude(&contrast(1.0, 0.01), 0.0, ALPHA);
        assert_eq!(clear, Some(4), "never a number that was measured already");
        let advice = separate(&contrast(1e-6, 0.01), ALPHA, &shares(0.1, 0.1), &shares(0.1, 0.1));
        assert_eq!(advice.unwrap().runs, None, "more than the most that are worth advising");
    }

    #[test]
    fn more_runs_show_smaller_differences_and_one_run_shows_none() {
        // (t(0.975, 2) + t(0.8, 2)) x 2% x sqrt(2 / 3), with t from scipy: 4.3027 and 1.0607.
        let three = smallest_difference(3, 0.02, 1).unwrap();
        assert!((three - (5.3634 * 0.019_802_6 * 0.816_497_f64).exp_m1()).abs() < 1e-5, "{three}");
        assert!(smallest_difference(6, 0.02, 1).unwrap() < 0.6 * three);
        assert!(smallest_difference(3, 0.02, 21).unwrap() > 3.0 * three);
        assert_eq!(smallest_difference(1, 0.02, 1), None);
    }
}
