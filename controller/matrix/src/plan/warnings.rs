//! What a plan can't do as it is, with the way out. Nothing here is an error: the campaign can run.

use super::Plan;
use super::amounts::{Price, count, usd};
use super::estimate::Estimate;
use crate::Matrix;
use std::collections::BTreeSet;

/// One sentence for each. `prices` are in the order of the targets.
pub fn warnings(
    plan: &Plan,
    matrix: &Matrix,
    prices: &[Price],
    estimate: &Estimate,
) -> Vec<String> {
    let budget = budget(plan, matrix, prices, estimate);
    budget.into_iter().chain(batch_sizes(plan)).chain(short_runs(plan, matrix)).collect()
}

/// USD that the machines cost if all are held to the end of the estimated time.
pub(super) fn expected_usd(
    plan: &Plan,
    matrix: &Matrix,
    prices: &[Price],
    estimate: &Estimate,
) -> f64 {
    let usd_per_hour: f64 = (matrix.targets.iter().zip(prices))
        .map(|(target, price)| price.usd_per_hour * f64::from(matrix.machines(target)))
        .sum();
    estimate.campaign_seconds(plan, matrix) / 3600.0 * usd_per_hour
}

fn budget(plan: &Plan, matrix: &Matrix, prices: &[Price], estimate: &Estimate) -> Option<String> {
    let expected = expected_usd(plan, matrix, prices, estimate);
    let most = matrix.cost.max_usd.filter(|most| *most < expected)?;
    Some(format!(
        "cost.max_usd is {most} USD, below the estimated cost of {} USD, so the campaign will probably be incomplete: \
         raise it (--max-usd), or measure fewer dialogues, runs or cells",
        usd(expected)
    ))
}

/// Queues near saturation build up over hundreds of requests: the simulation of the statistics has the coverage. In
/// closed loop, the first and the last request of each user don't count.
fn short_runs(plan: &Plan, matrix: &Matrix) -> Option<String> {
    const ENOUGH: usize = 400;
    const ENOUGH_EACH: u64 = 5;
    let candidates = (0..plan.cells.len()).filter(|cell| plan.cells[*cell].is_candidate(matrix));
    let most = candidates.map(|cell| plan.in_flight(matrix, cell)).max().unwrap_or_default();
    let enough = ENOUGH_EACH * most;
    if (plan.samples as u64) < enough && enough > ENOUGH as u64 {
        return Some(format!(
            "a run of the search has {}, too few for {most} in flight, of which the first and the last of each user \
             don't count: set dataset.samples to {enough} or more, or lower protocol.server.search.highest",
            count(plan.samples, "request")
        ));
    }
    (matrix.search().is_some() && plan.samples < ENOUGH).then(|| {
        format!(
            "a run of the search has {}, too few for a queue near saturation to build up, so the capacity may be \
             overestimated: set dataset.samples to {ENOUGH} or more",
            count(plan.samples, "request")
        )
    })
}

/// Batches are composed of the dialogues of one run, so a larger batch is never full.
fn batch_sizes(plan: &Plan) -> Option<String> {
    let never_full = plan.cells.iter().filter(|cell| cell.sustained().is_none());
    let sizes: BTreeSet<u32> = never_full
        .map(|cell| cell.batch_size)
        .filter(|size| *size as usize > plan.samples)
        .collect();
    let largest = sizes.last()?;
    let listed: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    Some(format!(
        "a run has {}, so batches of {} are never full, and their figures are those of a smaller batch: \
         set dataset.samples to {largest} or more, or remove these batch sizes",
        count(plan.samples, "dialogue"),
        listed.join(", "),
    ))
}
