//! Which cell to choose, and what is not distinguishable from it.

use super::{StoredCampaign, facts_of, is_left_out};
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
pub(super) fn of_campaign(read: &StoredCampaign<'_>, cells: &[Cell]) -> Option<Recommendation> {
    let observed = read.observed;
    let plan = &read.campaign.plan;
    let candidate = |index: usize| {
        let cell = &cells[index];
        let facts = facts_of(read.agents, &plan.cells[index]);
        let random_weights = facts.is_some_and(|facts| facts.random_weights);
        // Random weights have no quality.
        let quality = cell.quality.as_ref().filter(|_| !random_weights);
        Candidate {
            name: cell.cell.clone(),
            status: cell.validity.status,
            is_sound: cell.validity.is_sound(),
            usd_per_1000_requests: cell.cost.usd_per_1000_requests.clone(),
            latency_ms: slo_percentile(cell).unwrap_or(&cell.estimates.latency_ms.p50).clone(),
            quality: quality.map(|quality| quality.rouge_l.clone()),
            slo: cell.goodput.as_ref().map(|goodput| goodput.kept),
            hosts: cell.estimates.hosts,
            random_weights,
        }
    };
    // A sustained load keeps no samples that could be compared.
    let is_compared =
        |index: &usize| plan.cells[*index].sustained().is_none() && !is_left_out(read, *index);
    let compared: Vec<usize> = (0..cells.len()).filter(is_compared).collect();
    let candidates: Vec<Candidate> = compared.iter().map(|&index| candidate(index)).collect();
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
    let usd = |index: usize| cells[index].cost.usd_per_hour;
    let contrasts = others.iter().map(|&place| {
        let index = compared[place];
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
    let shares = |index: usize| &cells[index].estimates.variance;
    for ((&place, contrast), comparison) in others.iter().zip(&contrasts).zip(judged) {
        let other = shares(compared[place]);
        let separation = separate(contrast, comparison.alpha(), shares(best), other);
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
    let mut chosen: Vec<(&Entry, &Cell)> = Vec::new();
    for entry in entries {
        let usable = |cell: &&Cell| cell.validity.status != Status::Invalid && keeps(cell);
        for cell in entry.cells.iter().filter(usable) {
            let same = |(known, _): &&mut (&Entry, &Cell)| {
                (&known.model, &known.target) == (&entry.model, &entry.target)
            };
            match chosen.iter_mut().find(same) {
                Some(known) if precedes(cell, known.1) => *known = (entry, cell),
                Some(_) => {}
                None => chosen.push((entry, cell)),
            }
        }
    }
    let choice = |(entry, cell): (&Entry, &Cell)| Choice {
        model: entry.model.clone(),
        target: entry.target.clone(),
        cell: cell.cell.clone(),
        throughput: cell.estimates.throughput.per_host.clone(),
        usd_per_hour: cell.cost.usd_per_hour,
    };
    chosen.into_iter().map(choice).collect()
}

/// Sound figures first, then the lower cost.
fn precedes(one: &Cell, other: &Cell) -> bool {
    let usd = |cell: &Cell| cell.cost.usd_per_1000_requests.value.unwrap_or(f64::INFINITY);
    let is_doubtful = |cell: &Cell| !cell.validity.is_sound();
    is_doubtful(one).cmp(&is_doubtful(other)).then(usd(one).total_cmp(&usd(other))).is_lt()
}
