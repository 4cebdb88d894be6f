//! The verdict on a comparison: more, less, equal within a margin, or no significant difference. It is
//! decided by the interval that is corrected for the whole family of comparisons.

use super::contrast::{Contrast, Rounds};
use super::holm::{self, Step};
use super::quantity::Quantity;
use crate::{Estimate, interval::ALPHA};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the data shows about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The candidate has more of the quantity.
    More,
    /// The candidate has less of the quantity.
    Less,
    /// The whole interval lies within the margin.
    Equal,
    NotDistinguishable,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    pub finding: Finding,
    /// The margin within which both are equal; null unless `finding` is `equal`.
    pub equal_within: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Only the machines that were measured: a side had a single host.
    TheseMachines,
    /// The instance types: both sides had several hosts.
    TheseTargets,
}

/// One quantity of a candidate against a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    pub quantity: Quantity,
    /// Candidate over baseline, with its own 95 % interval; `n` counts rounds, or the runs of the side
    /// with fewer.
    pub ratio: Estimate,
    /// The lower bound of the interval that is corrected for the family; it decides the verdict.
    pub corrected_ci_low: Option<f64>,
    /// The upper bound of the corrected interval.
    pub corrected_ci_high: Option<f64>,
    /// The p value, corrected for the family.
    pub adjusted_p_value: Option<f64>,
    /// The number of comparisons in the family.
    pub family: u64,
    pub rounds: Rounds,
    /// Samples that both sides share.
    pub shared_samples: u64,
    pub verdict: Verdict,
    pub scope: Scope,
}

impl Comparison {
    /// The level of the strictest test of its family; advice uses it, so that it asks for enough.
    pub fn alpha(&self) -> f64 {
        ALPHA / self.family.max(1) as f64
    }

    /// Whether the data shows no significant difference.
    pub fn is_undecided(&self) -> bool {
        self.verdict.finding == Finding::NotDistinguishable
    }
}

/// Judges a family of contrasts of one quantity. With a margin (0.03 for 3 %) an interval that lies
/// within it is called equal, even where it excludes 1: the margin is what counts as a difference.
pub fn judge(quantity: Quantity, contrasts: &[Contrast], margin: Option<f64>) -> Vec<Comparison> {
    let p_values: Vec<Option<f64>> = contrasts.iter().map(Contrast::p_value).collect();
    let family = p_values.iter().flatten().count() as u64;
    let steps = holm::correct(&p_values, ALPHA);
    let one =
        |(contrast, step): (&Contrast, _)| comparison(quantity, contrast, step, margin, family);
    contrasts.iter().zip(steps).map(one).collect()
}

fn comparison(
    quantity: Quantity,
    contrast: &Contrast,
    step: Option<Step>,
    margin: Option<f64>,
    family: u64,
) -> Comparison {
    let corrected = step.and_then(|step| contrast.estimate(step.alpha, f64::exp).interval());
    Comparison {
        quantity,
        verdict: verdict(corrected, margin),
        ratio: contrast.estimate(ALPHA, f64::exp),
        corrected_ci_low: corrected.map(|interval| interval.0),
        corrected_ci_high: corrected.map(|interval| interval.1),
        adjusted_p_value: step.map(|step| step.adjusted_p),
        family,
        rounds: contrast.rounds,
        shared_samples: contrast.shared_samples,
        scope: if contrast.hosts < 2 { Scope::TheseMachines } else { Scope::TheseTargets },
    }
}

fn verdict(corrected: Option<(f64, f64)>, margin: Option<f64>) -> Verdict {
    let Some((low, high)) = corrected else {
        return Verdict { finding: Finding::NotDistinguishable, equal_within: None };
    };
    let equal_within = margin.filter(|margin| 1.0 - margin <= low && high <= 1.0 + margin);
    let finding = match equal_within {
        Some(_) => Finding::Equal,
        None if low > 1.0 => Finding::More,
        None if high < 1.0 => Finding::Less,
        None => Finding::NotDistinguishable,
    };
    Verdict { finding, equal_within }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contrast(log_ratio: f64, error: f64) -> Contrast {
        Contrast {
            log_ratio: Some(log_ratio),
            error: Some((error, 2.0)),
            rounds: Rounds::Paired,
            runs: 3,
            shared_samples: 150,
            reason: None,
            hosts: 1,
        }
    }

    fn finding(contrast: Contrast, margin: Option<f64>) -> Finding {
        judge(Quantity::RequestLatency, &[contrast], margin)[0].verdict.finding
    }

    #[test]
    fn the_corrected_interval_and_the_margin_decide() {
        let slower = contrast(1.03_f64.ln(), 0.001);
        assert_eq!(finding(slower.clone(), None), Finding::More);
        assert_eq!(finding(contrast(0.8_f64.ln(), 0.001), None), Finding::Less);
        assert_eq!(finding(slower.clone(), Some(0.05)), Finding::Equal);
        assert_eq!(finding(slower, Some(0.03)), Finding::More);
        assert_eq!(finding(contrast(1.03_f64.ln(), 0.01), None), Finding::NotDistinguishable);
    }

    #[test]
    fn a_larger_family_needs_clearer_data() {
        // t = 6 with 2 degrees: p = 0.027.
        assert_eq!(finding(contrast(0.06, 0.01), None), Finding::More);
        let family = [contrast(0.06, 0.01), contrast(0.001, 0.01), contrast(0.06, 0.01)];
        for judged in judge(Quantity::RequestLatency, &family, None) {
            assert_eq!(judged.verdict.finding, Finding::NotDistinguishable);
        }
    }

    #[test]
    fn identical_sides_have_ratio_one_exactly_and_no_difference() {
        let judged = judge(Quantity::RequestLatency, &[contrast(0.0, 0.0)], None);
        assert_eq!(judged[0].ratio.value, Some(1.0));
        assert_eq!(judged[0].verdict.finding, Finding::NotDistinguishable);
        assert_eq!(judged[0].adjusted_p_value, Some(1.0));
    }
}
