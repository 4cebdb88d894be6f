//! The Pareto set over cost, latency and quality, with its uncertainty.

use super::candidate::Candidate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::Estimate;
use stats::validity::Status;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    pub name: String,
    /// Whether no other is at least as good in everything and better in something, by the figures.
    pub on_front: bool,
    /// Whether the intervals leave that open.
    pub certain: bool,
    /// Which others are at least as good in everything and better in something.
    pub dominated_by: Vec<String>,
}

/// The standing of each candidate; INVALID ones are neither on the front nor dominate others.
pub fn standings(candidates: &[Candidate]) -> Vec<Standing> {
    let usable = |candidate: &Candidate| candidate.status != Status::Invalid;
    let one = |(place, candidate): (usize, &Candidate)| {
        let others =
            candidates.iter().enumerate().filter(|(other, one)| *other != place && usable(one));
        let others: Vec<&Candidate> = others.map(|(_, other)| other).collect();
        let better: Vec<_> = others.iter().filter(|other| dominates(other, candidate)).collect();
        let on_front = usable(candidate) && better.is_empty();
        let certain = if on_front {
            others.iter().all(|other| objectives(candidate, other).iter().any(apart))
        } else {
            !usable(candidate) || better.iter().any(|other| surely_dominates(other, candidate))
        };
        let dominated_by = better.iter().map(|other| other.name.clone()).collect();
        Standing { name: candidate.name.clone(), on_front, certain, dominated_by }
    };
    candidates.iter().enumerate().map(one).collect()
}

/// An objective of two candidates, turned so that less is better.
type Objective = (Estimate, Estimate);

/// Cost, latency, and quality where both have it.
fn objectives(a: &Candidate, b: &Candidate) -> Vec<Objective> {
    let less_is_better = |quality: &Estimate| Estimate {
        value: quality.value.map(|value| -value),
        ci_low: quality.ci_high.map(|high| -high),
        ci_high: quality.ci_low.map(|low| -low),
        ..quality.clone()
    };
    let mut objectives = vec![
        (a.usd_per_1000_requests.clone(), b.usd_per_1000_requests.clone()),
        (a.latency_ms.clone(), b.latency_ms.clone()),
    ];
    if let (Some(a), Some(b)) = (&a.quality, &b.quality) {
        objectives.push((less_is_better(a), less_is_better(b)));
    }
    objectives
}

/// At least as good in everything and better in something, by the figures.
fn dominates(a: &Candidate, b: &Candidate) -> bool {
    let values: Option<Vec<(f64, f64)>> =
        objectives(a, b).iter().map(|(a, b)| a.value.zip(b.value)).collect();
    values.is_some_and(|values| {
        values.iter().all(|(a, b)| a <= b) && values.iter().any(|(a, b)| a < b)
    })
}

/// Better in everything with intervals apart; quality may be equal.
fn surely_dominates(a: &Candidate, b: &Candidate) -> bool {
    let all = objectives(a, b);
    all.iter().all(|objective| apart(objective) || equal(objective)) && all.iter().any(apart)
}

fn apart((a, b): &Objective) -> bool {
    a.ci_high.zip(b.ci_low).is_some_and(|(a, b)| a < b)
}

fn equal((a, b): &Objective) -> bool {
    a.value.zip(b.value).is_some_and(|(a, b)| a.to_bits() == b.to_bits())
}
