//! Matrix and plan -> the differences that a campaign can show, before anything is measured.

use matrix::Matrix;
use matrix::plan::text::{Family, Power, RUN_SPREADS};
use matrix::plan::{Cell, Plan, pairs};
use stats::comparison::separate::smallest_difference;

/// The planned runs, and twice and four times as many.
const MORE_RUNS: [u32; 3] = [1, 2, 4];

/// The comparisons of a campaign, each with more runs than planned as well. Empty if nothing is compared.
pub(super) fn of_plan(plan: &Plan, matrix: &Matrix) -> Vec<Power> {
    // A sustained load keeps no samples that could be compared, and which candidates a search measures isn't known.
    let is_compared = |cell: &&Cell| cell.sustained().is_none() && !cell.is_candidate(matrix);
    let ranked = plan.cells.iter().filter(is_compared).count();
    let pairs = pairs(plan, matrix);
    let pairs = pairs.iter().filter(|pair| is_compared(&&plan.cells[pair.baseline])).count();
    let others = ranked.saturating_sub(1);
    let families = [(others, Family::Costs(others)), (pairs, Family::Pairs(pairs))];
    let rows = families.into_iter().filter(|(size, _)| *size > 0).flat_map(|(size, family)| {
        MORE_RUNS.map(|times| {
            let runs = matrix.protocol.least_runs() * times;
            let difference = |spread| smallest_difference(runs, spread, size);
            Power { family, runs, differences: RUN_SPREADS.map(difference) }
        })
    });
    rows.collect()
}
