//! Which cell to choose, and what is not distinguishable from it.

use super::StoredCampaign;
use crate::schema::{Cell, Entry};
use cost::Candidate;
use cost::decision::{Recommendation, cheapest, cost_contrast, judge_costs, recommend};
use cost::offered::Choice;
use stats::Estimate;
use stats::comparison::separate::separate;
use stats::comparison::{Batches, Pair, Quantity, Rounds, contrast};
use stats::slo::Kept;
use stats::validity::Status;

/// Recommends among all cells of a campaign; null where there is nothing to choose from.
pub(super) fn of_campaign(
    read: &StoredCampaign<'_>,
    cells: &[Cell],
    entries: &[Entry],
) -> Option<Recommendation> {
    let observed = read.observed;
    let random = |cell: &Cell| {
        let its = |entry: &&Entry| entry.cells.iter().any(|one| one.cell == cell.cell);
        let engine = entries.iter().find(its).and_then(|entry| entry.engine.as_ref());
        engine.is_some_and(|engine| engine.random_weights)
    };
    let candidate = |cell: &Cell| Candidate {
        name: cell.cell.clone(),
        status: cell.validity.status,
        usd_per_1000_requests: cell.cost.usd_per_1000_requests.clone(),
        latency_ms: slo_percentile(cell).unwrap_or(&cell.estimates.latency_ms.p50).clone(),
        quality: cell.quality.as_ref().map(|quality| quality.rouge_l.clone()),
        slo: cell.goodput.as_ref().map(|goodput| goodput.kept),
        hosts: cell.estimates.hosts,
        random_weights: random(cell),
    };
    let plan = &read.campaign.plan;
    // A sustained load keeps no samples that could be compared.
    let is_compared = |index: &usize| plan.cells[*index].sustained().is_none();
    let compared: Vec<usize> = (0..cells.len()).filter(is_compared).collect();
    let candidates: Vec<Candidate> =
        compared.iter().map(|&index| candidate(&cells[index])).collect();
    let best = compared[cheapest(&candidates)?];
    let usd = |index: usize| cells[index].cost.usd_per_hour;
    let others: Vec<usize> = compared.iter().copied().filter(|index| *index != best).collect();
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
    let mut against = vec![None; compared.len()];
    for ((index, contrast), comparison) in others.into_iter().zip(&contrasts).zip(judged) {
        let shares = |cell: usize| &cells[cell].estimates.variance;
        let place = compared.iter().position(|known| *known == index)?;
        against[place] = Some((comparison, separate(contrast, shares(best), shares(index))));
    }
    Some(recommend(&candidates, &against))
}

fn slo_percentile(cell: &Cell) -> Option<&Estimate> {
    let slo = cell.goodput.as_ref()?.slo;
    cell.estimates.latency_ms.percentile(slo.percentile)
}

/// Each model on each target, by its cheapest usable cell that doesn't miss the objective.
pub(super) fn choices(entries: &[Entry]) -> Vec<Choice> {
    let missed =
        |cell: &Cell| cell.goodput.as_ref().is_some_and(|goodput| goodput.kept == Kept::Missed);
    let usd = |choice: &Choice| choice.usd_per_hour / choice.throughput.value.unwrap_or(0.0);
    let mut choices: Vec<Choice> = Vec::new();
    for entry in entries {
        let usable = |cell: &&Cell| cell.validity.status != Status::Invalid && !missed(cell);
        for cell in entry.cells.iter().filter(usable) {
            let choice = Choice {
                model: entry.model.clone(),
                target: entry.target.clone(),
                cell: cell.cell.clone(),
                throughput: cell.estimates.throughput.per_host.clone(),
                usd_per_hour: cell.cost.usd_per_hour,
            };
            let same =
                |known: &&mut Choice| known.model == choice.model && known.target == choice.target;
            match choices.iter_mut().find(same) {
                Some(known) if usd(&choice) < usd(known) => *known = choice,
                Some(_) => {}
                None => choices.push(choice),
            }
        }
    }
    choices
}
