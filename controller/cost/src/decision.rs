//! The recommended candidate, and what limits the recommendation.

use super::candidate::Candidate;
use super::pareto::{Standing, standings};
use super::ranking::{Because, QualityRule, Ranking, SetAside};
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
    /// The candidates that were ranked by cost, the recommended one first.
    #[serde(default)]
    pub ranked: Vec<String>,
    /// The candidates that weren't, and why.
    #[serde(default)]
    pub set_aside: Vec<SetAside>,
    /// The part that quality played.
    #[serde(default)]
    pub quality: QualityRule,
    /// The next cheapest ranked candidate; null where there is none.
    pub nearest: Option<Nearest>,
    pub caveats: Vec<Caveat>,
    /// Ranked candidates that are statistically tied with the recommended one on cost.
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

/// Recommends the cheapest ranked candidate. `against` holds, by index, the comparison of each other ranked candidate's
/// cost with the cheapest one's, if any, and what would separate the two.
pub fn recommend(
    candidates: &[Candidate],
    ranking: &Ranking,
    against: &[Option<(Comparison, Option<Separation>)>],
) -> Recommendation {
    let standings = standings(candidates);
    let name = |index: usize| candidates[index].name.clone();
    let cost =
        |index: usize| candidates[index].usd_per_1000_requests.value.unwrap_or(f64::INFINITY);
    let best = ranking.ranked.first().copied();
    let set_aside = ranking.set_aside.iter().map(|(index, because)| SetAside {
        name: name(*index),
        because: because.clone(),
        would_be_cheaper: best.is_some_and(|best| cost(*index) < cost(best)),
    });
    let set_aside: Vec<SetAside> = set_aside.collect();
    let Some(best) = best else {
        let is_missed = set_aside.iter().any(|one| one.because == Because::ObjectiveMissed);
        let why = if is_missed { NoneBecause::ObjectiveMissed } else { NoneBecause::NothingUsable };
        return Recommendation {
            name: None,
            none_because: Some(why),
            ranked: Vec::new(),
            set_aside,
            quality: ranking.quality,
            nearest: None,
            caveats: Vec::new(),
            not_distinguishable_from: Vec::new(),
            to_separate: Vec::new(),
            standings,
        };
    };
    let others = &ranking.ranked[1..];
    let compared = |index: usize| against.get(index).and_then(Option::as_ref);
    // Only a significantly higher cost separates: where totals and paired runs disagree, nothing is claimed.
    let costs_more = |index: usize| {
        compared(index).is_some_and(|(comparison, _)| comparison.verdict.finding == Finding::More)
    };
    let tied: Vec<usize> = others.iter().copied().filter(|index| !costs_more(*index)).collect();
    let to_separate = tied.iter().filter_map(|&index| {
        let separation = compared(index)?.1.clone()?;
        Some(ToSeparate { name: name(index), separation })
    });
    let nearest = others.iter().find_map(|&index| Some((index, &compared(index)?.0)));
    Recommendation {
        name: Some(name(best)),
        none_because: None,
        ranked: ranking.ranked.iter().copied().map(name).collect(),
        set_aside,
        quality: ranking.quality,
        nearest: nearest.map(|(index, cost)| Nearest { name: name(index), cost: cost.clone() }),
        caveats: caveats(&candidates[best], candidates),
        not_distinguishable_from: tied.iter().copied().map(name).collect(),
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
