//! Adaptive precision: repeats until the interval of throughput is narrow enough, or the budget is spent.
//!
//! Stopping at the first narrow interval, after a look at every run, stops too often by chance. Each look
//! therefore gets its share of the 5 % (Bonferroni over the analyses that were planned), which holds
//! whatever the analyses have in common, and the interval that is reported is the one that was looked at.

use super::interval::{ALPHA, half_width, mean};
use crate::Cell;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Precision {
    /// Half the width of the interval, as a share of the mean, that is narrow enough.
    pub half_width: f64,
    /// The number of runs after which it is looked at first; at least 2.
    pub first_look: u32,
    /// The number of runs that is never exceeded.
    pub max_runs: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    Left,
    Spent,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "look")]
pub enum Look {
    Continue,
    /// The interval is narrow enough.
    NarrowEnough {
        /// Half its width, as a share of the mean.
        half_width: f64,
    },
    /// `max_runs` were measured, and it isn't.
    RunsSpent {
        /// Half its width; null below two runs.
        half_width: Option<f64>,
    },
    /// The money is spent, and it isn't.
    MoneySpent {
        /// Half its width; null below two runs.
        half_width: Option<f64>,
    },
}

impl Precision {
    /// How often the interval may be looked at; what [`super::Cell::with_analyses`] takes.
    pub fn analyses(&self) -> u32 {
        self.max_runs.saturating_sub(self.first_look.max(2)) + 1
    }

    pub fn look(&self, throughputs: &[f64], budget: Budget) -> Look {
        let alpha = ALPHA / f64::from(self.analyses());
        let relative = half_width(throughputs, alpha).zip(mean(throughputs));
        let half_width = relative.map(|(half, mean)| half / mean);
        let runs = throughputs.len();
        let reached = |count: u32| runs >= usize::try_from(count).unwrap_or(usize::MAX);
        match half_width.filter(|&half| half <= self.half_width && reached(self.first_look)) {
            Some(half_width) => Look::NarrowEnough { half_width },
            None if reached(self.max_runs) => Look::RunsSpent { half_width },
            None if budget == Budget::Spent => Look::MoneySpent { half_width },
            None => Look::Continue,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// How many runs the cell is to have.
    pub runs: u32,
    /// What ended them; [`Look::Continue`] where they go on or were broken off.
    pub look: Look,
}

/// Whether the campaign has ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Itself,
    /// It was stopped, or is still running.
    No,
}

impl Precision {
    /// Where a cell stands whose whole runs have these throughputs. A campaign that ended itself while the interval
    /// was still too wide had no money for another run.
    pub fn standing(&self, throughputs: &[f64], ended: Ended) -> Standing {
        let first = usize::try_from(self.first_look).unwrap_or(usize::MAX);
        let count = |runs: usize| u32::try_from(runs).unwrap_or(u32::MAX);
        for runs in first..=throughputs.len() {
            let is_last = runs == throughputs.len();
            let budget =
                if is_last && ended == Ended::Itself { Budget::Spent } else { Budget::Left };
            let look = self.look(&throughputs[..runs], budget);
            if look != Look::Continue {
                return Standing { runs: count(runs), look };
            }
        }
        let next = (count(throughputs.len()) + 1).clamp(self.first_look, self.max_runs);
        Standing { runs: next, look: Look::Continue }
    }
}

/// Throughputs of the runs that have all of their `samples`, from the first run on; the first that hasn't ends them.
pub fn whole_runs(cell: &Cell, samples: u64) -> Vec<f64> {
    let mut throughputs = Vec::new();
    for (number, run) in (1..).zip(cell.runs()) {
        let throughput = run.ok() as f64 / run.host_seconds();
        if run.run != number || (run.len() as u64) < samples || !throughput.is_finite() {
            break;
        }
        throughputs.push(throughput);
    }
    throughputs
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Continue => "precision target not reached yet",
            Self::NarrowEnough { .. } => "precision target reached",
            Self::RunsSpent { .. } => "maximum number of runs reached",
            Self::MoneySpent { .. } => "budget spent",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Precision = Precision { half_width: 0.05, first_look: 3, max_runs: 10 };

    #[test]
    fn a_narrow_interval_ends_the_repeats_and_a_wide_one_does_not() {
        assert!(matches!(RULE.look(&[10.0, 10.01, 9.99], Budget::Left), Look::NarrowEnough { .. }));
        assert_eq!(RULE.look(&[10.0, 11.0, 9.0], Budget::Left), Look::Continue);
        assert_eq!(RULE.look(&[10.0, 10.0], Budget::Left), Look::Continue);
        assert_eq!(RULE.look(&[10.0], Budget::Left), Look::Continue);
    }

    #[test]
    fn the_end_of_runs_and_of_money_say_how_wide_it_still_is() {
        let wide = [10.0, 13.0, 9.0, 11.0, 8.0, 13.0, 12.0, 9.0, 10.0, 14.0];
        let spent = RULE.look(&wide, Budget::Left);
        assert!(matches!(spent, Look::RunsSpent { half_width: Some(half) } if half > 0.05));
        assert!(matches!(RULE.look(&wide[..3], Budget::Spent), Look::MoneySpent { .. }));
    }

    #[test]
    fn a_cell_stands_where_its_runs_left_it() {
        let narrow = [10.0, 10.01, 9.99, 10.0];
        let wide = [10.0, 13.0, 9.0, 11.0];
        let standing = |runs: &[f64], ended| {
            let Standing { runs, look } = RULE.standing(runs, ended);
            (runs, look)
        };
        assert!(matches!(standing(&narrow, Ended::No), (3, Look::NarrowEnough { .. })));
        assert_eq!(standing(&wide, Ended::No), (5, Look::Continue));
        assert!(matches!(standing(&wide, Ended::Itself), (4, Look::MoneySpent { .. })));
        assert_eq!(standing(&wide[..1], Ended::No), (3, Look::Continue));
        assert_eq!(standing(&[], Ended::No), (3, Look::Continue));
    }

    #[test]
    fn every_planned_look_has_its_share_of_the_error() {
        assert_eq!(RULE.analyses(), 8);
        // Narrow enough for one look, not for one of eight.
        let runs = [10.0, 10.15, 9.85];
        let once = Precision { max_runs: 3, ..RULE };
        assert!(matches!(once.look(&runs, Budget::Left), Look::NarrowEnough { .. }));
        assert_eq!(RULE.look(&runs, Budget::Left), Look::Continue);
    }
}
