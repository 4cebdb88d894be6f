//! Which cell to choose, and what is not distinguishable from it.

use super::super::view::{Cell, Entry};
use super::Read;
use super::observations::Observed;
use crate::cost::decision::{
    Candidate, Recommendation, cheapest, cost_contrast, judge_costs, recommend,
};
use crate::statistics::comparison::{Batches, Pair, Quantity, Rounds, contrast};

/// Recommends among all cells of a campaign; null where there is nothing to choose from.
pub(super) fn of_campaign(
    read: &Read<'_>,
    observed: &[Observed<'_>],
    cells: &[Cell],
    entries: &[Entry],
) -> Option<Recommendation> {
    let random = |cell: &Cell| {
        let its = |entry: &&Entry| entry.cells.iter().any(|one| one.cell == cell.cell);
        let engine = entries.iter().find(its).and_then(|entry| entry.engine.as_ref());
        engine.is_some_and(|engine| engine.random_weights)
    };
    let candidate = |cell: &Cell| Candidate {
        name: cell.cell.clone(),
        status: cell.validity.status,
        usd_per_1000_requests: cell.cost.usd_per_1000_requests.clone(),
        latency_ms: cell.estimates.latency_ms.p50.clone(),
        quality: cell.quality.as_ref().map(|quality| quality.rouge_l.clone()),
        keeps_slo: None,
        hosts: cell.estimates.hosts,
        random_weights: random(cell),
    };
    let candidates: Vec<Candidate> = cells.iter().map(candidate).collect();
    let best = cheapest(&candidates)?;
    let usd = |index: usize| cells[index].cost.usd_per_hour;
    let plan = &read.campaign.plan;
    let others: Vec<usize> = (0..cells.len()).filter(|index| *index != best).collect();
    let contrasts = others.iter().map(|&index| {
        let is_equal = plan.cells[best].batch_size == plan.cells[index].batch_size;
        let pair = Pair {
            baseline: &observed[best].cell,
            candidate: &observed[index].cell,
            rounds: Rounds::Paired,
            batches: if is_equal { Batches::Equal } else { Batches::Different },
        };
        cost_contrast(&contrast(&pair, Quantity::Throughput), usd(best), usd(index))
    });
    let contrasts: Vec<_> = contrasts.collect();
    let judged = judge_costs(&contrasts, read.campaign.matrix.protocol.equal_within);
    let mut against = vec![None; cells.len()];
    for (index, comparison) in others.into_iter().zip(judged) {
        against[index] = Some(comparison);
    }
    Some(recommend(&candidates, &against))
}
