//! Adaptive precision: after a run of a cell, whether it gets another one.
//!
//! The decision follows from the stored samples alone, so a campaign that is gone on with decides as it would have.

use super::budget::Budget;
use matrix::plan::Plan;
use results::build::precision_rule;
use stats::precision::{self, Look, Precision};
use stats::{self, Observation};
use std::time::Duration;
use store::{CampaignRow, SampleRow};

/// The rule of a campaign, where it has one.
pub(super) fn rule(row: &CampaignRow) -> Option<Precision> {
    precision_rule(&row.matrix.protocol)
}

/// Throughputs of the runs of a cell that are whole, from the first one on.
pub(super) fn throughputs(plan: &Plan, cell: usize, samples: &[SampleRow]) -> Vec<f64> {
    let rows: Vec<Observation> =
        samples.iter().map(|row| Observation::new(&row.key, &row.sample, row.key.agent)).collect();
    let cell = stats::Cell::new(plan.cells[cell].scenario, rows);
    precision::whole_runs(&cell, plan.samples as u64)
}

/// Looks at a cell: whether it is narrow enough, and whether another run can be paid for.
pub(super) fn look(
    rule: &Precision,
    throughputs: &[f64],
    plan: &Plan,
    budget: (&Budget, Duration),
) -> Look {
    let (budget, now) = budget;
    let slowest = throughputs.iter().copied().fold(f64::INFINITY, f64::min);
    let another = Duration::try_from_secs_f64(plan.samples as f64 / slowest).unwrap_or_default();
    let left = if budget.would_be_spent(now, another) {
        precision::Budget::Spent
    } else {
        precision::Budget::Left
    };
    rule.look(throughputs, left)
}
