//! Two campaigns compared cell by cell: results and samples of both -> ratios with verdicts, limits kept or exceeded.
//!
//! Pure. The input is results.json with its samples, from files or from the store. Rounds of two campaigns don't pair,
//! so their runs are independent.

pub mod annotations;
pub mod junit;
pub mod markdown;
mod matching;
mod side;
pub mod table;

pub use side::Side;

use crate::one_line::one_line;
use crate::sentences::{causes, counted, limitation};
use cost::decision::{cost_contrast, judge_costs};
use matching::{Matched, Of, matched};
use results::conditions::conditions;
use results::{Comparison, ComparisonKind, PairMemory};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::comparison::gate::{Declared, Difference, Effect, Refusal, gate};
use stats::comparison::regression::{Judged, Limit, Metric, Outcome, Undecided};
use stats::comparison::separate::separate;
use stats::comparison::{Batches, Contrast, Pair, Quantity, Rounds, compare, contrast};
use stats::estimate::Estimate;
use stats::interval::ALPHA;
use stats::limitation::Limitation;
use stats::quality::{Scored, difference, rouge_l_difference};

/// Resampling of dialogues follows from it, so that two calls agree.
const SEED: u64 = 1;

impl CellLimits {
    /// The limits that fail, worst first.
    fn failing(&self, undecided: Undecided) -> Vec<&Judged> {
        let fails = |judged: &&Judged| judged.outcome.fails(undecided);
        let mut failing: Vec<&Judged> = self.judged.iter().filter(fails).collect();
        failing.sort_by_key(|judged| judged.outcome != Outcome::Failed);
        failing
    }
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    /// They differ in what must be equal.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing on one side answers to anything on the other.
    #[error(
        "the two campaigns have no cell in common: the baseline has {}; the candidate has {}",
        baseline.join(", "), candidate.join(", ")
    )]
    NothingShared { baseline: Vec<String>, candidate: Vec<String> },
    /// A limit on a metric that one side hasn't got.
    #[error("{metric} is null in {cell}, so its limit can't be checked: {reason}")]
    NullMetric { metric: String, cell: String, reason: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// Of the form of results.json.
    pub schema_version: u32,
    pub baseline: Named,
    pub candidate: Named,
    pub comparisons: Vec<Comparison>,
    /// Limits by pair of cells; empty without `--max-regression`.
    pub limits: Vec<CellLimits>,
    /// The worst outcome of the limits; null without any.
    pub outcome: Option<Outcome>,
    /// Cells without a partner on the other side.
    pub unmatched: Vec<String>,
    /// Notes for the reader.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    pub campaign: String,
    /// When it began, UTC.
    pub created_at: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellLimits {
    pub cell: String,
    pub judged: Vec<Judged>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// Differences below this share count as equal.
    pub equal_within: Option<f64>,
    /// How much worse metrics may become.
    pub limits: Vec<Limit>,
}

/// Compares `candidate` with `baseline`.
pub fn compared(baseline: &Side, candidate: &Side, asked: &Asked) -> Result<Compared, Error> {
    let Matched { pairs, unmatched } = matched(&baseline.results, &candidate.results);
    if pairs.is_empty() {
        return Err(Error::NothingShared {
            baseline: cell_names(baseline),
            candidate: cell_names(candidate),
        });
    }
    let flags = gated(baseline, candidate, &pairs)?;
    let (before, after) = Side::on_shared_names(baseline, candidate);
    let cells: Vec<(&side::Measured, &side::Measured)> =
        pairs.iter().map(|(b, c)| (before.of(&b.cell.cell), after.of(&c.cell.cell))).collect();
    let statistics: Vec<Pair<'_>> = (pairs.iter().zip(&cells))
        .map(|((b, c), (before, after))| Pair {
            baseline: &before.cell,
            candidate: &after.cell,
            rounds: Rounds::Apart,
            batches: if b.cell.batch_size == c.cell.batch_size {
                Batches::Equal
            } else {
                Batches::Different
            },
        })
        .collect();
    let limits = limits(&pairs, &cells, &statistics, asked)?;
    let outcome = limits.iter().flat_map(|cell| &cell.judged).map(|judged| judged.outcome).max();
    Ok(Compared {
        schema_version: results::SCHEMA_VERSION,
        baseline: named(baseline),
        candidate: named(candidate),
        comparisons: comparisons(&pairs, &cells, &statistics, flags, asked),
        limits,
        outcome,
        unmatched,
        notes: notes(baseline, candidate),
    })
}

fn named(side: &Side) -> Named {
    let campaign = &side.results.campaign;
    Named { campaign: campaign.id.clone(), created_at: campaign.created_at.clone() }
}

fn cell_names(side: &Side) -> Vec<String> {
    let cells = side.results.results.iter().flat_map(|entry| &entry.cells);
    cells.map(|cell| one_line(&cell.cell).into_owned()).collect()
}

/// Asks the gate about every pair. What one pair is refused for, all are: each refusal is named once.
fn gated(
    baseline: &Side,
    candidate: &Side,
    pairs: &[(Of<'_>, Of<'_>)],
) -> Result<Vec<Vec<Difference>>, Refusal> {
    let (mut flags, mut refused) = (Vec::new(), Vec::new());
    let of = |side: &Side, of: &Of<'_>| {
        conditions(&side.results.dataset, &side.results.environment, of.entry)
    };
    for (b, c) in pairs {
        let declared = c.entry.baseline.as_deref() == Some(b.entry.model.as_str());
        let declared = if declared { Declared::Baseline } else { Declared::Nothing };
        match gate(&of(baseline, b), &of(candidate, c), declared) {
            Ok(differences) => flags.push(differences),
            Err(Refusal(differences)) => refused.extend(differences),
        }
    }
    let mut seen = Vec::new();
    refused.retain(|difference| {
        let is_new = !seen.contains(difference);
        seen.push(difference.clone());
        is_new
    });
    if refused.is_empty() { Ok(flags) } else { Err(Refusal(refused)) }
}

/// What a file of another schema version is refused with.
pub fn other_schema(baseline: &str, candidate: &str) -> Refusal {
    Refusal(vec![Difference {
        condition: "schema version".to_owned(),
        effect: Effect::Refused,
        baseline: Some(baseline.to_owned()),
        candidate: Some(candidate.to_owned()),
    }])
}

fn comparisons(
    pairs: &[(Of<'_>, Of<'_>)],
    cells: &[(&side::Measured, &side::Measured)],
    statistics: &[Pair<'_>],
    flags: Vec<Vec<Difference>>,
    asked: &Asked,
) -> Vec<Comparison> {
    let figures = compare(statistics, asked.equal_within);
    let costs: Vec<Contrast> = (pairs.iter().zip(statistics))
        .map(|((b, c), pair)| {
            let throughput = contrast(pair, Quantity::Throughput);
            cost_contrast(&throughput, b.cell.cost.usd_per_hour, c.cell.cost.usd_per_hour)
        })
        .collect();
    let costs = judge_costs(&costs, asked.equal_within);
    let all = pairs.iter().zip(cells).zip(statistics).zip(flags).zip(figures).zip(costs);
    all.map(|((((((b, c), (before, after)), pair), flags), figures), cost)| {
        let is_open = figures.request_latency.is_undecided();
        let alpha = figures.request_latency.alpha();
        let advice = || {
            let contrast = contrast(pair, Quantity::RequestLatency);
            separate(&contrast, alpha, &b.cell.estimates.variance, &c.cell.estimates.variance)
        };
        Comparison {
            kind: ComparisonKind::Campaign,
            baseline: b.cell.cell.clone(),
            candidate: c.cell.cell.clone(),
            flags,
            figures,
            cost,
            quality: quality(&before.scored, &after.scored),
            agreement: None,
            memory: PairMemory { baseline: b.cell.memory, candidate: c.cell.memory },
            separation: if is_open { advice() } else { None },
        }
    })
    .collect()
}

fn quality(before: &[Scored], after: &[Scored]) -> Option<stats::quality::QualityDifference> {
    (!before.is_empty() && !after.is_empty()).then(|| difference(before, after, SEED))
}

/// A baseline's cell and a candidate's.
type Ofs<'a> = (Of<'a>, Of<'a>);
type Sides<'a> = (&'a side::Measured, &'a side::Measured);

fn limits(
    pairs: &[Ofs<'_>],
    cells: &[Sides<'_>],
    statistics: &[Pair<'_>],
    asked: &Asked,
) -> Result<Vec<CellLimits>, Error> {
    if asked.limits.is_empty() {
        return Ok(Vec::new());
    }
    let alpha = ALPHA / (asked.limits.len() * pairs.len()) as f64;
    let one = |((of, cells), pair): ((&Ofs<'_>, &Sides<'_>), &Pair<'_>)| {
        let (b, c) = of;
        let judged: Result<Vec<Judged>, Error> = (asked.limits.iter())
            .map(|limit| {
                let (regression, contrast) = regression(limit.metric, (b, c), *cells, pair, alpha)?;
                Ok(limit.judge(regression, contrast.as_ref(), alpha))
            })
            .collect();
        Ok(CellLimits { cell: c.cell.cell.clone(), judged: judged? })
    };
    pairs.iter().zip(cells).zip(statistics).map(one).collect()
}

/// The regression of a metric, and its contrast where runs show it.
fn regression(
    metric: Metric,
    (b, c): (&Of<'_>, &Of<'_>),
    (before, after): (&side::Measured, &side::Measured),
    pair: &Pair<'_>,
    alpha: f64,
) -> Result<(Estimate, Option<Contrast>), Error> {
    let null = |of: &Of<'_>, reason: Option<Limitation>| Error::NullMetric {
        metric: metric.to_string(),
        cell: one_line(&of.cell.cell).into_owned(),
        reason: limitation(reason.unwrap_or(Limitation::NothingMeasured)),
    };
    for of in [b, c] {
        let estimates = &of.cell.estimates;
        let estimate = metric.estimate(&estimates.latency_ms, &estimates.ttft_ms);
        if let Some(estimate) = estimate.filter(|estimate| estimate.value.is_none()) {
            return Err(null(of, estimate.reason));
        }
    }
    let Some(contrast) = metric.contrast(pair) else {
        for (of, scored) in [(b, &before.scored), (c, &after.scored)] {
            if scored.is_empty() {
                return Err(null(of, Some(Limitation::NoScores)));
            }
        }
        return Ok((rouge_l_regression(&before.scored, &after.scored, alpha), None));
    };
    let contrast = if metric == Metric::Cost {
        cost_contrast(&contrast, b.cell.cost.usd_per_hour, c.cell.cost.usd_per_hour)
    } else {
        contrast
    };
    if contrast.log_ratio.is_none() {
        return Err(null(c, contrast.reason));
    }
    Ok((metric.regression(&contrast, alpha), Some(contrast)))
}

/// How much rougeL fell, as a share of the baseline's mean on the same dialogues. Missing where that is zero.
fn rouge_l_regression(before: &[Scored], after: &[Scored], alpha: f64) -> Estimate {
    let (difference, baseline) = rouge_l_difference(before, after, SEED, alpha);
    let Some(baseline) = baseline.filter(|mean| *mean > 0.0) else {
        return Estimate::missing(difference.n, Limitation::NoScores);
    };
    let share = |difference: f64| 0.0 - difference / baseline;
    Estimate {
        value: difference.value.map(share),
        ci_low: difference.ci_high.map(share),
        ci_high: difference.ci_low.map(share),
        ..difference
    }
}

fn notes(baseline: &Side, candidate: &Side) -> Vec<String> {
    let mut notes = Vec::new();
    if baseline.results.campaign.id == candidate.results.campaign.id {
        notes.push("both sides are the same campaign".to_owned());
    }
    for side in [baseline, candidate] {
        let results = &side.results;
        let campaign = &results.campaign;
        if campaign.state != "complete" {
            let missing = counted(campaign.missing_samples, "sample");
            notes.push(format!("{} is incomplete: {missing} missing", campaign.id));
        }
        let cells = results.results.iter().flat_map(|entry| &entry.cells);
        for cell in cells {
            let price = &cell.cost.price;
            if let Some(days) = price.age_days.filter(|_| price.stale) {
                let source = &price.source;
                notes.push(format!(
                    "stale price in {}: {days} days old at the time of its report ({source})",
                    campaign.id
                ));
            }
            if !cell.validity.reasons.is_empty() {
                let reasons = causes(&cell.validity);
                notes.push(format!("{} in {}: {reasons}", cell.cell, campaign.id));
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use stats::quality::Rouge;

    fn scored(rouge_l: f64) -> Vec<Scored> {
        let rouge = Rouge { rouge1: 0.0, rouge2: 0.0, rouge_l };
        let one = |sample| Scored { sample, rouge, tokens: None, reference_tokens: None };
        (0..20).map(one).collect()
    }

    #[test]
    fn a_fall_from_nothing_has_no_share() {
        let fell = rouge_l_regression(&scored(0.5), &scored(0.25), ALPHA);
        assert_eq!(fell.value, Some(0.5));
        let from_zero = rouge_l_regression(&scored(0.0), &scored(0.25), ALPHA);
        assert_eq!((from_zero.value, from_zero.reason), (None, Some(Limitation::NoScores)));
        assert_eq!(rouge_l_regression(&[], &scored(0.25), ALPHA).value, None);
    }
}
