//! The recommended candidate, and what limits the recommendation.

use super::candidate::Candidate;
use super::pareto::{Standing, standings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::comparison::contrast::Contrast;
use stats::comparison::separate::Separation;
use stats::comparison::verdict::{Comparison, Finding};
use stats::comparison::{Quantity, judge};
use stats::slo::Kept;
use stats::validity::Status;

/// The recommended candidate, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendation {
    /// The name of the candidate; null where none can be recommended.
    pub name: Option<String>,
    /// Why none is recommended; null where one is.
    pub none_because: Option<NoneBecause>,
    /// The next cheapest candidate; null where nothing else was measured.
    pub nearest: Option<Nearest>,
    pub caveats: Vec<Caveat>,
    /// Candidates that are statistically tied with the recommended one on cost.
    pub not_distinguishable_from: Vec<String>,
    /// What would separate them from it.
    pub to_separate: Vec<ToSeparate>,
    /// Each candidate's place on the Pareto front of cost, latency and quality.
    pub standings: Vec<Standing>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoneBecause {
    /// No usable cell meets the objective at any load.
    ObjectiveMissed,
    /// No cell has both usable figures and a price.
    NothingUsable,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Nearest {
    pub name: String,
    /// Its cost against that of the recommended one.
    pub cost: Comparison,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Caveat {
    /// Some target was measured on a single host.
    OneHostPerTarget,
    RandomWeights,
    /// Whether the recommended cell meets the objective is undecided.
    ObjectiveUndecided,
    /// The figures of the recommended cell are DEGRADED.
    Degraded,
}

/// What would separate a candidate from the recommended one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToSeparate {
    pub name: String,
    pub separation: Separation,
}

/// The cost of one candidate over another's: prices are constants, so the interval is that of the throughputs.
pub fn cost_contrast(throughput: &Contrast, baseline_usd: f64, candidate_usd: f64) -> Contrast {
    let of_prices = (candidate_usd / baseline_usd).ln();
    Contrast { log_ratio: throughput.log_ratio.map(|log| of_prices - log), ..throughput.clone() }
}

pub fn judge_costs(contrasts: &[Contrast], margin: Option<f64>) -> Vec<Comparison> {
    judge(Quantity::Cost, contrasts, margin)
}

/// The index of the cheapest candidate whose figures may be used and that doesn't miss the objective.
/// One that meets the objective precedes one that may, and VALID ones precede DEGRADED ones.
pub fn cheapest(candidates: &[Candidate]) -> Option<usize> {
    let ranked = candidates.iter().enumerate().filter_map(|(place, one)| {
        let is_usable = one.status != Status::Invalid && one.slo != Some(Kept::Missed);
        let cost = one.usd_per_1000_requests.value.filter(|_| is_usable)?;
        Some(((one.slo == Some(Kept::Undecided), one.status), cost, place))
    });
    ranked.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map(|(_, _, place)| place)
}

/// Recommends the cheapest candidate. `against` holds, by index, the comparison of each other
/// candidate's cost with the cheapest one's, if any, and what would separate the two.
pub fn recommend(
    candidates: &[Candidate],
    against: &[Option<(Comparison, Option<Separation>)>],
) -> Recommendation {
    let standings = standings(candidates);
    let Some(best) = cheapest(candidates) else {
        let is_missed = candidates.iter().any(|candidate| candidate.slo == Some(Kept::Missed));
        let why = if is_missed { NoneBecause::ObjectiveMissed } else { NoneBecause::NothingUsable };
        return Recommendation {
            name: None,
            none_because: Some(why),
            nearest: None,
            caveats: Vec::new(),
            not_distinguishable_from: Vec::new(),
            to_separate: Vec::new(),
            standings,
        };
    };
    let others: Vec<_> = (candidates.iter().zip(against).enumerate())
        .filter_map(|(place, pair)| (place != best).then_some(pair))
        .collect();
    let is_tied = |(other, comparison): &&(&Candidate, &Option<(Comparison, _)>)| {
        let is_open = comparison.as_ref().is_none_or(|(comparison, _)| {
            !matches!(comparison.verdict.finding, Finding::More | Finding::Less)
        });
        other.status != Status::Invalid && is_open
    };
    let tied: Vec<_> = others.iter().filter(is_tied).collect();
    let to_separate = tied.iter().filter_map(|(other, comparison)| {
        let separation = comparison.as_ref()?.1.clone()?;
        Some(ToSeparate { name: other.name.clone(), separation })
    });
    let cost =
        |candidate: &Candidate| candidate.usd_per_1000_requests.value.unwrap_or(f64::INFINITY);
    let nearest = (others.iter())
        .filter_map(|(other, comparison)| Some((other, &comparison.as_ref()?.0)))
        .min_by(|a, b| cost(a.0).total_cmp(&cost(b.0)));
    Recommendation {
        name: Some(candidates[best].name.clone()),
        none_because: None,
        nearest: nearest
            .map(|(other, cost)| Nearest { name: other.name.clone(), cost: cost.clone() }),
        caveats: caveats(&candidates[best], candidates),
        not_distinguishable_from: tied.iter().map(|(other, _)| other.name.clone()).collect(),
        to_separate: to_separate.collect(),
        standings,
    }
}

fn caveats(best: &Candidate, candidates: &[Candidate]) -> Vec<Caveat> {
    let any = |of: fn(&Candidate) -> bool| candidates.iter().any(of);
    [
        (any(|candidate| candidate.hosts < 2), Caveat::OneHostPerTarget),
        (any(|candidate| candidate.random_weights), Caveat::RandomWeights),
        (best.slo == Some(Kept::Undecided), Caveat::ObjectiveUndecided),
        (best.status == Status::Degraded, Caveat::Degraded),
    ]
    .into_iter()
    .filter_map(|(holds, caveat)| holds.then_some(caveat))
    .collect()
}
