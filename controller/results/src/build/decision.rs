//! Which cell to choose, and what is not distinguishable from it.

use super::StoredCampaign;
use crate::schema::{Cell, Entry};
use cost::Candidate;
use cost::decision::{Recommendation, cost_contrast, judge_costs, recommend};
use cost::offered::Choice;
use cost::ranking::rank;
use stats::Estimate;
use stats::comparison::separate::separate;
use stats::comparison::{Batches, Pair, Quantity, Rounds, contrast};
use stats::quality::difference;
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
        is_sound: cell.validity.is_sound(),
        usd_per_1000_requests: cell.cost.usd_per_1000_requests.clone(),
        latency_ms: slo_percentile(cell).unwrap_or(&cell.estimates.latency_ms.p50).clone(),
        // Random weights have no quality.
        quality: (!random(cell))
            .then(|| cell.quality.as_ref().map(|quality| quality.rouge_l.clone()))
            .flatten(),
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
    if candidates.is_empty() {
        return None;
    }
    let matrix = &read.campaign.matrix;
    let rouge_difference = |one: usize, other: usize| {
        let scored = |place: usize| &observed[compared[place]].scored;
        let is_scored = !scored(one).is_empty() && !scored(other).is_empty();
        is_scored.then(|| difference(scored(other), scored(one), matrix.seed).rouge_l)
    };
    let ranking = rank(&candidates, matrix.decision.quality_margin, rouge_difference);
    let Some((&best, others)) = ranking.ranked.split_first() else {
        return Some(recommend(&candidates, &ranking, &[]));
    };
    let best = compared[best];
    let others: Vec<usize> = others.iter().map(|&place| compared[place]).collect();
    let usd = |index: usize| cells[index].cost.usd_per_hour;
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
    let judged = judge_costs(&contrasts, matrix.protocol.equal_within);
    let mut against = vec![None; compared.len()];
    for ((index, contrast), comparison) in others.into_iter().zip(&contrasts).zip(judged) {
        let shares = |cell: usize| &cells[cell].estimates.variance;
        let place = compared.iter().position(|known| *known == index)?;
        let separation = separate(contrast, comparison.alpha(), shares(best), shares(index));
        against[place] = Some((comparison, separation));
    }
    Some(recommend(&candidates, &ranking, &against))
}

fn slo_percentile(cell: &Cell) -> Option<&Estimate> {
    let slo = cell.goodput.as_ref()?.slo;
    cell.estimates.latency_ms.percentile(slo.percentile)
}

/// Each model on each target, by its cheapest usable cell: one with sound figures precedes one without. Under an
/// objective only a cell that keeps it has a capacity.
pub(super) fn choices(entries: &[Entry], has_objective: bool) -> Vec<Choice> {
    let keeps = |cell: &Cell| {
        let kept = cell.goodput.as_ref().map(|goodput| goodput.kept);
        !has_objective || kept == Some(Kept::Kept)
    };
    let mut choices: Vec<(bool, Choice)> = Vec::new();
    for entry in entries {
        let usable = |cell: &&Cell| cell.validity.status != Status::Invalid && keeps(cell);
        for cell in entry.cells.iter().filter(usable) {
            let choice = Choice {
                model: entry.model.clone(),
                target: entry.target.clone(),
                cell: cell.cell.clone(),
                throughput: cell.estimates.throughput.per_host.clone(),
                usd_per_hour: cell.cost.usd_per_hour,
            };
            let choice = (!cell.validity.is_sound(), choice);
            let same = |known: &&mut (bool, Choice)| {
                (&known.1.model, &known.1.target) == (&choice.1.model, &choice.1.target)
            };
            match choices.iter_mut().find(same) {
                Some(known) if precedes(&choice, known) => *known = choice,
                Some(_) => {}
                None => choices.push(choice),
            }
        }
    }
    choices.into_iter().map(|(_, choice)| choice).collect()
}

/// Sound figures first, then the lower cost.
fn precedes(one: &(bool, Choice), other: &(bool, Choice)) -> bool {
    let usd = |choice: &Choice| choice.usd_per_hour / choice.throughput.value.unwrap_or(0.0);
    one.0.cmp(&other.0).then(usd(&one.1).total_cmp(&usd(&other.1))).is_lt()
}
