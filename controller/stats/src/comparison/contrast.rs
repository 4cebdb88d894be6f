//! Two cells, reduced to one log ratio with its standard error.
//!
//! Ratios of a sample with itself are logarithms, averaged over the samples of a run: one number per
//! run, because runs are what varies between one measurement and the next. Where runs of one number
//! form a round they are paired, which takes out what the round did to both; where they do not, the
//! degrees of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946).

use super::super::interval::{mean, standard_deviation, t_critical, t_two_sided};
use super::super::layout::{Run, distinct};
use super::{Batches, Pair, quantity::Quantity};
use crate::{Cell, Estimate, Limitation, Observation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether runs of one number form a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rounds {
    /// They were measured side by side, in one campaign.
    Paired,
    /// They were not: two campaigns, or two times.
    Apart,
}

/// A log ratio of candidate over baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    /// The mean log ratio; `None` where nothing is shared.
    pub log_ratio: Option<f64>,
    /// Its standard error and degrees of freedom; `None` without an estimate between runs.
    pub error: Option<(f64, f64)>,
    pub rounds: Rounds,
    /// How many rounds, or the runs of the side that has fewer.
    pub runs: u64,
    pub shared_samples: u64,
    /// Why there is no ratio, or no error.
    pub reason: Option<Limitation>,
    /// The fewest hosts on a side.
    pub hosts: u64,
}

impl Contrast {
    pub fn interval(&self, alpha: f64) -> Option<(f64, f64)> {
        let (error, degrees) = self.error?;
        let half = t_critical(degrees, alpha) * error;
        self.log_ratio.map(|log_ratio| (log_ratio - half, log_ratio + half))
    }

    /// A figure that follows from the log ratio by a monotonic function, with its interval.
    pub fn estimate(&self, alpha: f64, of: impl Fn(f64) -> f64) -> Estimate {
        let reason = self.reason.unwrap_or(Limitation::NotAvailable);
        let Some(value) = self.log_ratio.map(&of) else {
            return Estimate::missing(self.runs, reason);
        };
        match self.interval(alpha).map(|(low, high)| (of(low), of(high))) {
            Some((a, b)) => Estimate::within(value, (a.min(b), a.max(b)), self.runs),
            None => Estimate::point(value, self.runs, reason),
        }
    }

    /// The chance of a log ratio at least this far from none, if there were none.
    pub fn p_value(&self) -> Option<f64> {
        let ((error, degrees), log_ratio) = (self.error?, self.log_ratio?);
        match (error > 0.0, log_ratio.abs() > 0.0) {
            (true, _) => Some(t_two_sided(log_ratio / error, degrees)),
            (false, true) => Some(0.0),
            (false, false) => Some(1.0),
        }
    }
}

pub fn contrast(pair: &Pair<'_>, quantity: Quantity) -> Contrast {
    let sides = (pair.baseline, pair.candidate);
    if pair.batches == Batches::Different && !quantity.is_of_runs() {
        return nothing(pair, Limitation::BatchSizesDiffer);
    }
    let by_run = match (quantity.is_of_runs(), pair.rounds) {
        (true, _) => figures(sides, |run| Some(run.ok() as f64 / run.host_seconds())),
        (false, Rounds::Paired) => paired(sides, quantity),
        (false, Rounds::Apart) => apart(sides, quantity),
    };
    reduce(pair, &by_run)
}

/// Compares a figure that each run has, such as a percentile; both sides must have been asked the same requests.
/// Figures that are not above zero have no ratio.
pub fn contrast_of_runs(pair: &Pair<'_>, figure: impl Fn(&Run) -> Option<f64>) -> Contrast {
    reduce(pair, &figures((pair.baseline, pair.candidate), figure))
}

fn nothing(pair: &Pair<'_>, reason: Limitation) -> Contrast {
    Contrast {
        log_ratio: None,
        error: None,
        rounds: pair.rounds,
        runs: 0,
        shared_samples: 0,
        reason: Some(reason),
        hosts: pair.baseline.distinct_hosts().min(pair.candidate.distinct_hosts()),
    }
}

fn reduce(pair: &Pair<'_>, by_run: &ByRun) -> Contrast {
    let reduced = match pair.rounds {
        Rounds::Paired => over_rounds(by_run),
        Rounds::Apart => over_runs(by_run),
    };
    let Some((log_ratio, error, runs)) = reduced else {
        return nothing(pair, Limitation::NoSharedSamples);
    };
    Contrast {
        log_ratio: Some(log_ratio),
        runs,
        shared_samples: by_run.shared_samples,
        reason: error.is_none().then_some(Limitation::OneRun),
        error,
        ..nothing(pair, Limitation::NoSharedSamples)
    }
}

/// Logarithms by run, of either side.
struct ByRun {
    baseline: BTreeMap<u32, f64>,
    candidate: BTreeMap<u32, f64>,
    shared_samples: u64,
}

type Sides<'a> = (&'a Cell, &'a Cell);
type Reduced = Option<(f64, Option<(f64, f64)>, u64)>;

/// The runs of one number as rounds: differences, and the t of their mean.
fn over_rounds(by_run: &ByRun) -> Reduced {
    let other = |run: &u32| by_run.candidate.get(run);
    let differences: Vec<f64> = (by_run.baseline.iter())
        .filter_map(|(run, baseline)| other(run).map(|candidate| candidate - baseline))
        .collect();
    let n = differences.len() as f64;
    let error = standard_deviation(&differences).map(|std| (std / n.sqrt(), n - 1.0));
    mean(&differences).map(|mean| (mean, error, differences.len() as u64))
}

/// The runs of either side for themselves: the difference of means, with Satterthwaite's degrees.
fn over_runs(by_run: &ByRun) -> Reduced {
    let values = |side: &BTreeMap<u32, f64>| side.values().copied().collect::<Vec<f64>>();
    let (baseline, candidate) = (values(&by_run.baseline), values(&by_run.candidate));
    let log_ratio = mean(&candidate)? - mean(&baseline)?;
    let squared = |side: &[f64]| standard_deviation(side).map(|std| std * std / side.len() as f64);
    let error = squared(&baseline).zip(squared(&candidate)).map(|(b, c)| {
        let variance = b + c;
        let weight = |part: f64, n: usize| part * part / (n as f64 - 1.0);
        let spread = weight(b, baseline.len()) + weight(c, candidate.len());
        let least = baseline.len().min(candidate.len()) as f64 - 1.0;
        (variance.sqrt(), if spread > 0.0 { variance * variance / spread } else { least })
    });
    Some((log_ratio, error, baseline.len().min(candidate.len()) as u64))
}

fn figures((baseline, candidate): Sides<'_>, figure: impl Fn(&Run) -> Option<f64>) -> ByRun {
    let of = |side: &Cell| {
        let log = |run: &Run| {
            let figure = figure(run)?;
            (figure.is_finite() && figure > 0.0).then(|| (run.run, figure.ln()))
        };
        side.runs().iter().filter_map(log).collect()
    };
    let samples = |cell: &Cell| distinct(cell.observations().map(|row| row.sample));
    let shared = intersection(&samples(baseline), &samples(candidate));
    ByRun { baseline: of(baseline), candidate: of(candidate), shared_samples: shared.len() as u64 }
}

/// Mean logs of each round over the samples that both sides have in it.
fn paired((baseline, candidate): Sides<'_>, quantity: Quantity) -> ByRun {
    let mut by_run =
        ByRun { baseline: BTreeMap::new(), candidate: BTreeMap::new(), shared_samples: 0 };
    let mut shared = Vec::new();
    for run in baseline.runs() {
        let Some(other) = candidate.runs().iter().find(|other| other.run == run.run) else {
            continue;
        };
        let (b, c) = (logs(run, quantity), logs(other, quantity));
        let both = intersection(&keys(&b), &keys(&c));
        by_run.baseline.extend(over(&b, &both).map(|mean| (run.run, mean)));
        by_run.candidate.extend(over(&c, &both).map(|mean| (run.run, mean)));
        shared.extend(both);
    }
    by_run.shared_samples = distinct(shared).len() as u64;
    by_run
}

/// Mean logs of each run over the samples that every run of both sides has.
fn apart((baseline, candidate): Sides<'_>, quantity: Quantity) -> ByRun {
    let of = |side: &Cell| -> Vec<(u32, Logs)> {
        side.runs().iter().map(|run| (run.run, logs(run, quantity))).collect()
    };
    let (baseline, candidate) = (of(baseline), of(candidate));
    let mut sets = baseline.iter().chain(&candidate).map(|(_, logs)| keys(logs));
    let first = sets.next().unwrap_or_default();
    let shared = sets.fold(first, |shared, set| intersection(&shared, &set));
    let means = |side: &[(u32, Logs)]| {
        side.iter().filter_map(|(run, logs)| over(logs, &shared).map(|mean| (*run, mean))).collect()
    };
    ByRun {
        baseline: means(&baseline),
        candidate: means(&candidate),
        shared_samples: shared.len() as u64,
    }
}

type Logs = Vec<(u32, f64)>;

/// The mean of some samples' logs; both are sorted.
fn over(logs: &Logs, samples: &[u32]) -> Option<f64> {
    let mut wanted = samples.iter().peekable();
    let mut is_wanted = |sample: u32| {
        while wanted.next_if(|&&next| next < sample).is_some() {}
        wanted.peek() == Some(&&sample)
    };
    let values: Vec<f64> =
        logs.iter().filter(|(sample, _)| is_wanted(*sample)).map(|&(_, log)| log).collect();
    mean(&values)
}

/// The log of each sample of a run; the mean log where one came more than once.
fn logs(run: &Run, quantity: Quantity) -> Logs {
    let log = |row: Observation| Some((row.sample, quantity.of(&row)?.ln()));
    let mut logs: Logs = run.unpacked().filter_map(log).collect();
    logs.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mean_of = |same: &[(u32, f64)]| {
        (same[0].0, same.iter().map(|(_, log)| log).sum::<f64>() / same.len() as f64)
    };
    logs.chunk_by(|a, b| a.0 == b.0).map(mean_of).collect()
}

fn keys(logs: &Logs) -> Vec<u32> {
    logs.iter().map(|(sample, _)| *sample).collect()
}

fn intersection(a: &[u32], b: &[u32]) -> Vec<u32> {
    a.iter().filter(|sample| b.binary_search(sample).is_ok()).copied().collect()
}
