//! Adaptive precision: repeats until the interval of throughput is narrow enough, or the budget is spent.
//!
//! Who looks after every run and stops at the first narrow interval stops too often by luck. Each look
//! therefore gets its share of the 5 % (Bonferroni over the looks that were planned), which holds
//! whatever the looks have in common, and the interval that is reported is the one that was looked at.

use super::interval::{ALPHA, half_width, mean};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Precision {
    /// Half the width of the interval, as a share of the mean, that is narrow enough.
    pub half_width: f64,
    /// The number of runs after which it is looked at first; at least 2.
    pub first_look: u32,
    /// The number of runs that is never exceeded.
    pub max_runs: u32,
}

/// Whether the campaign may pay for another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// It may.
    Left,
    /// It may not.
    Spent,
}

/// What a look says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "look")]
pub enum Look {
    /// Measure another run.
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
    /// How often the interval may be looked at; what [`super::Cell::with_looks`] takes.
    pub fn looks(&self) -> u32 {
        self.max_runs.saturating_sub(self.first_look.max(2)) + 1
    }

    /// Looks at the throughputs of the runs so far.
    pub fn look(&self, throughputs: &[f64], budget: Budget) -> Look {
        let alpha = ALPHA / f64::from(self.looks());
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

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = super::comparison::verdict::percent;
        let of = |half: Option<f64>| {
            half.map_or("unknown".to_owned(), |half| format!("{} %", percent(half)))
        };
        match *self {
            Self::Continue => f.write_str("another run"),
            Self::NarrowEnough { half_width } => {
                write!(f, "the interval is within {} % of the mean", percent(half_width))
            }
            Self::RunsSpent { half_width } => {
                write!(f, "the last run allowed is done, half the interval is {}", of(half_width))
            }
            Self::MoneySpent { half_width } => {
                write!(f, "the budget is spent, half the interval is {}", of(half_width))
            }
        }
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
    fn every_planned_look_has_its_share_of_the_error() {
        assert_eq!(RULE.looks(), 8);
        // Narrow enough for one look, not for one of eight.
        let runs = [10.0, 10.15, 9.85];
        let once = Precision { max_runs: 3, ..RULE };
        assert!(matches!(once.look(&runs, Budget::Left), Look::NarrowEnough { .. }));
        assert_eq!(RULE.look(&runs, Budget::Left), Look::Continue);
    }
}
