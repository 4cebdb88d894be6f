//! The highest load that keeps an objective: a search over candidate loads, which measures one run at a time where it
//! decides most, and may stop at any time. Loads are request rates, or in closed loop the requests in flight.
//!
//! The capacity lies in one gap between two candidate loads. A gap is ruled out by evidence that the objective is kept at
//! loads above it, or missed at loads below it; see [`bets`]. More load is assumed never to be better, so under the gap
//! with the true capacity both are false, and each is believed with a probability of at most 2.5%, whatever the order of
//! the runs and however often it is looked at. The gaps that are left make up the interval.
//!
//! Input are the shares of each run, output is the next run or the interval. The same runs lead to the same decisions.

mod bets;
mod fit;
mod shares;

pub use shares::{PlannedRun, RunEnd, RunShares, is_over_saturated};

use crate::interval::ALPHA;
use bets::{Bets, Side};
use fit::Fit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Climbing and halving ends when loads that seem kept and missed are this many gaps apart.
const CLOSE: usize = 2;

/// The rule of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Candidates, ascending; at least one.
    pub loads: Vec<f64>,
    pub pace: Pace,
    /// The interval is narrow enough once its ends differ by this share, or are neighbors.
    pub resolution: f64,
    /// Of each load.
    pub max_runs: u32,
    /// Shares that requests must reach, from [`crate::slo::Slo::needed`].
    pub needed: Vec<f64>,
}

/// How many requests arrive in a second of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The load is this rate.
    Offered,
    /// Closed loop: as many as are answered.
    Measured,
}

/// Candidates may be rounded to four digits.
const ROUNDING: f64 = 1.001;

/// What is known about the capacity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// The highest load that is shown to keep the objective; null if none is.
    pub low: Option<f64>,
    /// The lowest load that is shown to miss it; null if none is.
    pub high: Option<f64>,
    pub resolution: Resolution,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "resolution")]
pub enum Resolution {
    /// The interval is as narrow as asked for, or the capacity is outside the candidate loads.
    Resolved,
    NotResolved {
        /// Expected minutes of further load, without pauses and warm-up; null if unknown.
        minutes: Option<f64>,
    },
}

/// One run of a search, and what was known after it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Requests per second, or in flight.
    pub load: f64,
    /// Number among the runs at this load, from 1.
    pub run: u32,
    /// Measured requests.
    pub requests: u64,
    /// Of them within all limits.
    pub good: u64,
    /// The run was over-saturated and ended early.
    pub cut_short: bool,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// Measure this run of the load with this index.
    Measure {
        load: usize,
        run: u32,
    },
    End,
}

/// A search as far as its runs lead.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub steps: Vec<Step>,
    pub standing: Standing,
    pub next: Next,
}

impl Search {
    /// Whether gaps from `first` to `last` are few enough to end with.
    fn is_narrow(&self, first: Gap, last: Gap) -> bool {
        let Some((low, high)) = first.checked_sub(1).zip(self.loads.get(last)) else {
            return false;
        };
        last == first || *high <= self.loads[low] * (1.0 + self.resolution) * ROUNDING
    }

    /// The same rule for other candidates.
    #[must_use]
    pub fn over(&self, loads: Vec<f64>) -> Self {
        Self { loads, ..self.clone() }
    }

    /// Follows the search through the measured runs, by index of the load and number from 1. Runs that it didn't ask for
    /// are left out.
    pub fn follow(&self, runs: &BTreeMap<(usize, u32), RunShares>) -> Progress {
        let mut evidence = Evidence::new(self);
        let mut steps = Vec::new();
        let next = loop {
            let Some(load) = evidence.next() else { break Next::End };
            let run = evidence.runs[load] + 1;
            let measured = runs.get(&(load, run)).filter(|shares| shares.end != RunEnd::Partial);
            let Some(shares) = measured else { break Next::Measure { load, run } };
            evidence.add(load, shares);
            let Standing { low, high, .. } = evidence.standing();
            steps.push(Step {
                load: self.loads[load],
                run,
                requests: shares.requests,
                good: shares.good,
                cut_short: shares.end == RunEnd::CutShort,
                low,
                high,
            });
        };
        Progress { steps, standing: evidence.standing(), next }
    }
}

/// Gaps between candidate loads: gap 0 is below the lowest load, gap i is between loads i - 1 and i, and the last one is
/// above the highest load.
type Gap = usize;

struct Evidence<'a> {
    search: &'a Search,
    /// By load and objective.
    bets: Vec<Vec<Bets>>,
    /// Measured runs by load.
    runs: Vec<u32>,
    /// Requests per second of the latest run of each load, where they are known.
    answered: Vec<Option<f64>>,
}

/// Evidence that is missing to end the search in one way.
struct Ending {
    /// Seconds of load.
    seconds: f64,
    /// The loads where it is missing, with the blocks that each needs.
    loads: Vec<(usize, f64)>,
}

impl<'a> Evidence<'a> {
    fn new(search: &'a Search) -> Self {
        let none: Vec<Bets> = search.needed.iter().map(|&needed| Bets::new(needed)).collect();
        let count = search.loads.len();
        Self { search, bets: vec![none; count], runs: vec![0; count], answered: vec![None; count] }
    }

    fn add(&mut self, load: usize, shares: &RunShares) {
        self.runs[load] += 1;
        self.answered[load] = shares.per_second.or(self.answered[load]);
        for block in &shares.blocks {
            self.bets[load].iter_mut().zip(block).for_each(|(bets, share)| bets.add(*share));
        }
    }

    /// What rules a gap out: each of the two hypotheses about it gets half of the error.
    fn needed() -> f64 {
        (2.0 / ALPHA).ln()
    }

    /// Evidence that the capacity is above the gap: all objectives are kept at loads above it. If it isn't, one of them
    /// is missed at all of these loads, so that its wealth is no evidence; the least wealth is never more than that.
    fn above(&self, gap: Gap) -> f64 {
        let wealth = |objective: usize| -> f64 {
            self.bets[gap..].iter().map(|bets| bets[objective].above).sum()
        };
        (0..self.search.needed.len()).map(wealth).fold(f64::INFINITY, f64::min)
    }

    /// Evidence that the capacity is below the gap: an objective is missed at loads below it. The mean of the wealths.
    fn below(&self, gap: Gap) -> f64 {
        let wealth = |objective: usize| -> f64 {
            self.bets[..gap].iter().map(|bets| bets[objective].below).sum()
        };
        let objectives = self.search.needed.len();
        let total: f64 = (0..objectives).map(|objective| wealth(objective).exp()).sum();
        (total / objectives as f64).ln()
    }

    /// The first and the last gap that are not ruled out; `None` if all are, which shows that load helps.
    fn interval(&self) -> Option<(Gap, Gap)> {
        let is_left =
            |gap: &Gap| self.above(*gap) < Self::needed() && self.below(*gap) < Self::needed();
        let left: Vec<Gap> = (0..=self.search.loads.len()).filter(is_left).collect();
        Some((*left.first()?, *left.last()?))
    }

    fn is_resolved(&self, (first, last): (Gap, Gap)) -> bool {
        let highest = self.search.loads.len();
        self.search.is_narrow(first, last) || first == highest || last == 0
    }

    fn standing(&self) -> Standing {
        let Some(interval) = self.interval() else {
            let resolution = Resolution::NotResolved { minutes: None };
            return Standing { low: None, high: None, resolution };
        };
        let resolution = if self.is_resolved(interval) {
            Resolution::Resolved
        } else {
            let is_timed =
                self.search.pace == Pace::Offered || self.answered.iter().any(Option::is_some);
            let best = self.best_ending(interval, |_| true).filter(|_| is_timed);
            let minutes = best.map(|best| best.seconds / 60.0);
            Resolution::NotResolved { minutes }
        };
        let (first, last) = interval;
        let loads = &self.search.loads;
        let low = first.checked_sub(1).map(|load| loads[load]);
        Standing { low, high: loads.get(last).copied(), resolution }
    }

    /// The load of the next run; `None` at the end.
    fn next(&self) -> Option<usize> {
        let interval = self.interval().filter(|interval| !self.is_resolved(*interval))?;
        let (kept, missed) = self.bracket();
        let loads = &self.search.loads;
        match (kept, missed) {
            (None, None) => return Some(0),
            // Climb: twice the load, so that nothing far above the capacity is offered.
            (Some(kept), None) if kept + 1 < loads.len() => {
                let twice = loads.partition_point(|load| *load <= 2.0 * loads[kept]);
                return Some(twice.saturating_sub(1).max(kept + 1));
            }
            (None, Some(missed)) if missed > 0 => return Some(missed / 2),
            (Some(kept), Some(missed)) if missed > kept + CLOSE => {
                return Some(kept.midpoint(missed));
            }
            _ => {}
        }
        let has_runs_left = |load: usize| self.runs[load] < self.search.max_runs;
        let best = self.best_ending(interval, has_runs_left)?;
        // The end that needs less first: it may leave nothing to do at the other.
        let open = best.loads.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
        open.map(|(load, _)| load)
    }

    /// The highest load that seems kept below the lowest one that seems missed, by the pooled shares.
    fn bracket(&self) -> (Option<usize>, Option<usize>) {
        let objectives = 0..self.search.needed.len();
        let measured: Vec<usize> =
            (0..self.runs.len()).filter(|&load| self.runs[load] > 0).collect();
        // Isotonic regression: more load is never better.
        let seems_kept = objectives.map(|objective| {
            let mut pools: Vec<(usize, f64, f64)> = Vec::new();
            for &load in &measured {
                let bets = &self.bets[load][objective];
                pools.push((1, bets.count(), bets.mean().unwrap_or(0.0)));
                while let [.., (loads, weight, share), last] = pools.as_mut_slice()
                    && *share < last.2
                {
                    let all = *weight + last.1;
                    *share = (*share * *weight + last.2 * last.1) / all;
                    (*loads, *weight) = (*loads + last.0, all);
                    pools.pop();
                }
            }
            let needed = self.search.needed[objective];
            let kept = pools.iter().take_while(|(_, _, share)| *share >= needed);
            kept.map(|(loads, ..)| loads).sum::<usize>()
        });
        let kept = seems_kept.min().unwrap_or(0);
        (kept.checked_sub(1).map(|last| measured[last]), measured.get(kept).copied())
    }

    /// In closed loop, those of the nearest measured load; 1 if there are none, for comparing loads only.
    fn requests_per_second(&self, load: usize) -> f64 {
        match self.search.pace {
            Pace::Offered => self.search.loads[load],
            Pace::Measured => {
                let known = self.answered.iter().enumerate();
                let known =
                    known.filter_map(|(at, answered)| Some((at.abs_diff(load), (*answered)?)));
                known.min_by_key(|(apart, _)| *apart).map_or(1.0, |(_, answered)| answered)
            }
        }
    }

    /// The feasible way to end that takes the least time. The ways: a narrow interval is left, or the lowest or the highest gap
    /// alone. `may_measure` tells which loads have runs left.
    fn best_ending(
        &self,
        (first, last): (Gap, Gap),
        may_measure: impl Fn(usize) -> bool,
    ) -> Option<Ending> {
        let Search { loads, needed, .. } = self.search;
        let (kept, missed) = self.bracket();
        let center = kept.or(missed).map_or(0.0, |load| loads[load].ln());
        let measured = |objective: usize| {
            let all = loads.iter().zip(&self.bets);
            let measured = all.filter(move |(_, bets)| bets[objective].count() > 0.0);
            measured.map(move |(load, bets)| (load.ln(), &bets[objective]))
        };
        let fits: Vec<Fit> = (needed.iter().enumerate())
            .map(|(objective, &needed)| Fit::new(measured(objective), center, needed))
            .collect();
        // All objectives must be kept, and one that is missed is enough.
        let growth = |load: usize, side: Side| {
            let mut each = fits.iter().map(|fit| fit.growth(loads[load].ln(), side));
            match side {
                Side::Above => each.try_fold(f64::INFINITY, |least, one| Some(least.min(one?))),
                Side::Below => each.flatten().max_by(f64::total_cmp),
            }
        };
        // `None` where a load seems to be on the other side, or has no runs left.
        let ending = |from: Gap, to: Gap| {
            let kept = from.checked_sub(1).map(|load| (load, self.above(load), Side::Above));
            let missed = (to < loads.len()).then(|| (to, self.below(to + 1), Side::Below));
            let mut ending = Ending { seconds: 0.0, loads: Vec::new() };
            for (load, known, side) in kept.into_iter().chain(missed) {
                let missing = Self::needed() - known;
                if missing > 0.0 {
                    let blocks = missing / growth(load, side).filter(|_| may_measure(load))?;
                    // The ramp-up takes a fifth of a run.
                    let requests = blocks * shares::BLOCK as f64 / 0.8;
                    ending.seconds += requests / self.requests_per_second(load);
                    ending.loads.push((load, blocks));
                }
            }
            Some(ending)
        };
        let widest =
            |from: Gap| (from..loads.len()).rev().find(|to| self.search.is_narrow(from, *to));
        let narrow = (1..loads.len()).filter_map(|from| Some((from, widest(from)?)));
        let narrow = narrow.filter(|(from, to)| *to >= first && *from <= last);
        let outside = [(0, 0), (loads.len(), loads.len())];
        narrow
            .chain(outside)
            .filter_map(|(from, to)| ending(from, to))
            .filter(|ending| !ending.loads.is_empty())
            .min_by(|a, b| a.seconds.total_cmp(&b.seconds))
    }
}

#[cfg(test)]
mod tests;
