//! Pairs of cells that share samples: target against target, model against its baseline, dtype against dtype, one number
//! of beams or length of drafts against another. All pairs of a campaign are one family.

use super::{StoredCampaign, quality};
use crate::conditions::conditions;
use crate::schema::{Cell, Comparison, ComparisonKind, Dataset, Entry, Environment, PairMemory};
use cost::decision::{cost_contrast, judge_costs};
use matrix::plan::{self, CellPair, PairKind};
use rayon::prelude::*;
use stats::comparison::gate::{Declared, gate};
use stats::comparison::separate::{Separation, separate};
use stats::comparison::{
    Batches, Finding, Pair, PairComparison, Quantity, Rounds, compare, contrast,
};
use stats::quality::difference;

pub(super) fn of_campaign(
    read: &StoredCampaign<'_>,
    dataset: &Dataset,
    environment: &Environment,
    entries: &[Entry],
    cells: &[Cell],
) -> Vec<Comparison> {
    let plan = &read.campaign.plan;
    let observed = read.observed;
    let passed = plan::pairs(plan, &read.campaign.matrix).into_iter().filter_map(|pair| {
        let CellPair { baseline, candidate, kind } = pair;
        let kind = match kind {
            PairKind::Target => ComparisonKind::Target,
            PairKind::Model => ComparisonKind::Model,
            PairKind::Dtype => ComparisonKind::Dtype,
            PairKind::NumBeams => ComparisonKind::NumBeams,
            PairKind::PromptLookup => ComparisonKind::PromptLookup,
        };
        let declared = match kind {
            ComparisonKind::Model => Declared::Baseline,
            ComparisonKind::NumBeams | ComparisonKind::PromptLookup => Declared::Generation,
            ComparisonKind::Target | ComparisonKind::Dtype | ComparisonKind::Campaign => {
                Declared::Nothing
            }
        };
        let conditions = |index: usize| {
            let name = &cells[index].cell;
            let its = |entry: &&Entry| entry.cells.iter().any(|cell| cell.cell == *name);
            entries.iter().find(its).map(|entry| conditions(dataset, environment, entry))
        };
        // A pair that isn't one is left out; within a campaign only files can differ.
        let flags = gate(&conditions(baseline)?, &conditions(candidate)?, declared).ok()?;
        Some((baseline, candidate, kind, flags))
    });
    let passed: Vec<_> = passed.collect();
    let pair = |&(baseline, candidate, ..): &(usize, usize, ComparisonKind, Vec<_>)| Pair {
        baseline: &observed[baseline].cell,
        candidate: &observed[candidate].cell,
        rounds: Rounds::Paired,
        batches: Batches::Equal,
    };
    let pairs: Vec<Pair<'_>> = passed.iter().map(pair).collect();
    let figures = compare(&pairs, read.campaign.matrix.protocol.equal_within);
    let costs = passed.par_iter().zip(&pairs).map(|(&(baseline, candidate, ..), pair)| {
        let usd = |index: usize| cells[index].cost.usd_per_hour;
        cost_contrast(&contrast(pair, Quantity::Throughput), usd(baseline), usd(candidate))
    });
    let margin = read.campaign.matrix.protocol.equal_within;
    let mut costs = judge_costs(&costs.collect::<Vec<_>>(), margin).into_iter();
    let mut separations = pairs
        .par_iter()
        .zip(&passed)
        .zip(&figures)
        .map(|((pair, &(baseline, candidate, ..)), figures)| {
            separation(pair, figures, &cells[baseline], &cells[candidate])
        })
        .collect::<Vec<_>>()
        .into_iter();
    let comparison = |((baseline, candidate, kind, flags), figures): ((usize, usize, _, _), _)| {
        let (before, after) = (&observed[baseline].scored, &observed[candidate].scored);
        let has_quality = !before.is_empty() && !after.is_empty();
        Some(Comparison {
            kind,
            baseline: plan.cells[baseline].id.to_string(),
            candidate: plan.cells[candidate].id.to_string(),
            flags,
            figures,
            cost: costs.next()?,
            quality: has_quality.then(|| difference(before, after, read.campaign.matrix.seed)),
            agreement: (kind != ComparisonKind::Model)
                .then(|| quality::agreement(&observed[baseline], &observed[candidate]))
                .flatten(),
            memory: PairMemory {
                baseline: cells[baseline].memory,
                candidate: cells[candidate].memory,
            },
            separation: separations.next()?,
        })
    };
    passed.into_iter().zip(figures).filter_map(comparison).collect()
}

/// Advice where latency shows no significant difference.
fn separation(
    pair: &Pair<'_>,
    figures: &PairComparison,
    baseline: &Cell,
    candidate: &Cell,
) -> Option<Separation> {
    let latency = &figures.request_latency;
    if latency.verdict.finding != Finding::NotDistinguishable {
        return None;
    }
    let contrast = contrast(pair, Quantity::RequestLatency);
    let (before, after) = (&baseline.estimates.variance, &candidate.estimates.variance);
    separate(&contrast, latency.alpha(), before, after)
}
