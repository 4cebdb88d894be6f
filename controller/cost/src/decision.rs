//! The decision: which candidates are worth a look, and which one is recommended, in one sentence.

use super::pareto::Standing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::Estimate;
use stats::comparison::contrast::Contrast;
use stats::comparison::separate::Separation;
use stats::comparison::verdict::{Comparison, Finding};
use stats::comparison::{Quantity, judge};
use stats::slo::Kept;
use stats::validity::Status;

/// One cell as a choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// What it is called: target, model, dtype, batch size.
    pub name: String,
    /// Of its figures.
    pub status: Status,
    /// US dollars per 1,000 requests.
    pub usd_per_1000_requests: Estimate,
    /// The percentile of request latency that counts, in milliseconds.
    pub latency_ms: Estimate,
    /// Mean rougeL; null where there is none.
    pub quality: Option<Estimate>,
    /// Whether it keeps the objective; `None` without one.
    pub slo: Option<Kept>,
    /// How many hosts it was measured on.
    pub hosts: u64,
    /// Whether its weights are random.
    pub random_weights: bool,
}

/// What is recommended, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendation {
    /// The name of the candidate; null where none can be recommended.
    pub name: Option<String>,
    /// The reason in one sentence, with its labels.
    pub text: String,
    /// How the next cheapest one compares; null where nothing else was measured.
    #[serde(default)]
    pub nearest: Option<String>,
    /// What the recommendation rests on, where that limits it.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Candidates whose cost is not distinguishable from the recommended one's.
    pub not_distinguishable_from: Vec<String>,
    /// What would separate them from it.
    pub to_separate: Vec<ToSeparate>,
    /// Where each candidate stands on cost, latency and quality.
    pub standings: Vec<Standing>,
}

/// What would separate a candidate from the recommended one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToSeparate {
    /// The name of the candidate.
    pub name: String,
    /// What there should be more of.
    pub separation: Separation,
}

/// The cost of one candidate over another's, from their throughputs: prices are constants, so the
/// interval of the ratio is that of the throughputs.
pub fn cost_contrast(throughput: &Contrast, baseline_usd: f64, candidate_usd: f64) -> Contrast {
    let of_prices = (candidate_usd / baseline_usd).ln();
    Contrast { log_ratio: throughput.log_ratio.map(|log| of_prices - log), ..throughput.clone() }
}

/// Judges the costs of candidates against the cheapest one's, as one family.
pub fn judge_costs(contrasts: &[Contrast], margin: Option<f64>) -> Vec<Comparison> {
    judge(Quantity::Cost, contrasts, margin)
}

/// The cheapest candidate whose figures may be used and that doesn't miss the objective, by its place. One
/// that keeps it goes before one that may, and VALID ones before DEGRADED ones.
pub fn cheapest(candidates: &[Candidate]) -> Option<usize> {
    let usable = |candidate: &Candidate| {
        candidate.status != Status::Invalid && candidate.slo != Some(Kept::Missed)
    };
    let cost = |candidate: &Candidate| candidate.usd_per_1000_requests.value;
    let usable = candidates.iter().enumerate().filter(|(_, candidate)| usable(candidate));
    let rank = |one: &Candidate| (one.slo == Some(Kept::Undecided), one.status);
    let priced = usable.filter_map(|(place, one)| cost(one).map(|cost| (rank(one), cost, place)));
    priced.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map(|(_, _, place)| place)
}

/// So many candidates are named in a sentence; more are counted.
const NAMED: usize = 3;

/// Recommends the cheapest candidate. `against` holds, by place, the comparison of each other
/// candidate's cost with the cheapest one's, where there is one, and what would separate the two.
pub fn recommend(
    candidates: &[Candidate],
    against: &[Option<(Comparison, Option<Separation>)>],
) -> Recommendation {
    let standings = super::pareto::standings(candidates);
    let Some(best) = cheapest(candidates) else {
        let text = if candidates.iter().any(|candidate| candidate.slo == Some(Kept::Missed)) {
            "no target that may be used keeps the objective at any load".to_owned()
        } else {
            "nothing is recommended: no cell has both usable figures and a price".to_owned()
        };
        return Recommendation {
            name: None,
            text,
            nearest: None,
            labels: Vec::new(),
            not_distinguishable_from: Vec::new(),
            to_separate: Vec::new(),
            standings,
        };
    };
    let others = || candidates.iter().zip(against).enumerate().filter(|(place, _)| *place != best);
    let unclear = |comparison: &Option<(Comparison, Option<Separation>)>| {
        comparison.as_ref().is_none_or(|(comparison, _)| {
            !matches!(comparison.verdict.finding, Finding::More | Finding::Less)
        })
    };
    let unclear: Vec<_> = others()
        .filter(|(_, (other, comparison))| other.status != Status::Invalid && unclear(comparison))
        .map(|(_, pair)| pair)
        .collect();
    let not_distinguishable_from: Vec<String> =
        unclear.iter().map(|(other, _)| other.name.clone()).collect();
    let to_separate = unclear.iter().filter_map(|(other, comparison)| {
        let separation = comparison.as_ref()?.1.clone()?;
        Some(ToSeparate { name: other.name.clone(), separation })
    });
    let to_separate = to_separate.collect();
    let runner_up = others()
        .filter_map(|(_, (other, comparison))| Some((other, &comparison.as_ref()?.0)))
        .min_by(|a, b| cost_of(a.0).total_cmp(&cost_of(b.0)));
    let nearest = runner_up
        .map(|(other, comparison)| format!("{} is {}", other.name, comparison.verdict.text));
    let mut parts = vec![sentence(&candidates[best], candidates.len())];
    parts.extend(nearest.clone());
    match not_distinguishable_from.as_slice() {
        [] => {}
        few if few.len() <= NAMED => {
            parts.push(format!("not distinguishable from {}", few.join(", ")));
        }
        many => {
            let (unclear, others) = (many.len(), candidates.len() - 1);
            parts.push(format!("not distinguishable from {unclear} of the {others} others"));
        }
    }
    let labels = labels(&candidates[best], candidates);
    let text = match labels.as_slice() {
        [] => parts.join("; "),
        labels => format!("{} ({})", parts.join("; "), labels.join("; ")),
    };
    let name = Some(candidates[best].name.clone());
    Recommendation { name, text, nearest, labels, not_distinguishable_from, to_separate, standings }
}

fn cost_of(candidate: &Candidate) -> f64 {
    candidate.usd_per_1000_requests.value.unwrap_or(f64::INFINITY)
}

fn sentence(best: &Candidate, candidates: usize) -> String {
    let cost = &best.usd_per_1000_requests;
    let interval = match cost.interval() {
        Some((low, high)) => format!(", between {} and {}", usd(low), usd(high)),
        None => String::new(),
    };
    let kept = if best.slo == Some(Kept::Kept) { " that keeps the objective" } else { "" };
    let rank = if candidates > 1 {
        format!("the cheapest of {candidates}{kept}")
    } else {
        "the only candidate".to_owned()
    };
    format!("{}: {rank}, {} USD per 1,000 requests{interval}", best.name, usd(cost_of(best)))
}

fn labels(best: &Candidate, candidates: &[Candidate]) -> Vec<String> {
    let mut labels = Vec::new();
    if candidates.iter().any(|candidate| candidate.hosts < 2) {
        labels.push("it rests on one host per side: these machines, not these instance types");
    }
    if candidates.iter().any(|candidate| candidate.random_weights) {
        labels.push("random weights");
    }
    if best.slo == Some(Kept::Undecided) {
        labels.push("whether it keeps the objective is not decided");
    }
    if best.status == Status::Degraded {
        labels.push("its figures are DEGRADED");
    }
    labels.into_iter().map(str::to_owned).collect()
}

/// Dollars with three significant digits.
fn usd(value: f64) -> String {
    if value >= 100.0 {
        return format!("{value:.0}");
    }
    let mut digits = 2;
    let mut size = value;
    while size > 0.0 && size < 1.0 && digits < 12 {
        size *= 10.0;
        digits += 1;
    }
    format!("{value:.digits$}")
}
