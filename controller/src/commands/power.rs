//! Matrix and plan -> the differences that a campaign can show, before anything is measured.

use matrix::Matrix;
use matrix::plan::text::{Power, RUN_SPREADS};
use matrix::plan::{Plan, pairs};
use stats::comparison::separate::smallest_difference;

/// The planned runs, and twice and four times as many.
const MORE_RUNS: [u32; 3] = [1, 2, 4];

/// The comparisons of a campaign, each with more runs than planned as well. Empty if nothing is compared.
pub(super) fn of_plan(plan: &Plan, matrix: &Matrix) -> Vec<Power> {
    // A sustained load keeps no samples that could be compared.
    let ranked = plan.cells.iter().filter(|cell| cell.sustained().is_none()).count();
    let others = ranked.saturating_sub(1);
    let cells = if others == 1 { "cell" } else { "cells" };
    let compared = pairs(plan, matrix).len();
    let noun = if compared == 1 { "pair" } else { "pairs" };
    let families = [
        (others, format!("cost against {others} other {cells}")),
        (compared, format!("{compared} {noun} of targets, models, dtypes")),
    ];
    let runs = matrix.protocol.least_runs();
    let rows = families.into_iter().filter(|(family, _)| *family > 0).flat_map(|(family, text)| {
        MORE_RUNS.map(|times| Power {
            comparisons: text.clone(),
            runs: runs * times,
            differences: RUN_SPREADS
                .map(|spread| smallest_difference(runs * times, spread, family)),
        })
    });
    rows.collect()
}
