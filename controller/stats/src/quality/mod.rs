//! How good summaries are: ROUGE against references, lengths, agreement of two groups.
//!
//! Decoding is deterministic, so repeats of a dialogue return the same text: here dialogues vary, and
//! intervals come from resampling them. Random weights and missing references have no quality.

pub mod agreement;
pub mod bootstrap;
pub mod rouge;
pub mod stem;

pub use agreement::{Agreement, agreement};
pub use bootstrap::{mean_interval, mean_interval_at};
pub use rouge::{Rouge, rouge};

use super::interval::mean;
use crate::{Estimate, Limitation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    pub sample: u32,
    pub rouge: Rouge,
    /// Tokens of the summary; `None` if not counted.
    pub tokens: Option<u32>,
    /// Tokens of the reference; `None` if not counted.
    pub reference_tokens: Option<u32>,
}

/// How good the summaries of a group are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quality {
    /// Mean F1 of single words, 0 to 1.
    pub rouge1: Estimate,
    /// Mean F1 of pairs of words.
    pub rouge2: Estimate,
    /// Mean F1 of the longest common subsequence.
    #[serde(rename = "rougeL")]
    pub rouge_l: Estimate,
    /// Mean tokens of a summary; missing where one was not counted.
    pub gen_len: Estimate,
    /// Mean tokens of a reference.
    pub reference_len: Option<f64>,
    /// Tokens of all summaries over tokens of their references.
    pub length_ratio: Option<f64>,
}

/// The candidate's quality less the baseline's, dialogue by dialogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QualityDifference {
    /// Mean difference of rouge1.
    pub rouge1: Estimate,
    /// Mean difference of rouge2.
    pub rouge2: Estimate,
    #[serde(rename = "rougeL")]
    pub rouge_l: Estimate,
    /// Mean difference of lengths, in tokens.
    pub gen_len: Estimate,
}

/// Summarises scored summaries; a dialogue that comes more than once counts once, with its mean.
pub fn quality(scored: &[Scored], seed: u64) -> Quality {
    let per_dialogue = by_dialogue(scored);
    let of = |place: usize| {
        let values: Vec<f64> = per_dialogue.iter().map(|(_, scores)| scores[place]).collect();
        mean_interval(&values, seed)
    };
    // Of a group either every reference was counted or its mean would be of others.
    let references: Vec<f64> =
        per_dialogue.iter().map(|(_, scores)| scores[4]).filter(|len| !len.is_nan()).collect();
    let are_counted = references.len() == per_dialogue.len();
    let (gen_len, reference_len) = (counted(of(3)), mean(&references).filter(|_| are_counted));
    let ratio = gen_len.value.zip(reference_len.filter(|&len| len > 0.0));
    Quality {
        rouge1: of(0),
        rouge2: of(1),
        rouge_l: of(2),
        gen_len,
        reference_len,
        length_ratio: ratio.map(|(summary, reference)| summary / reference),
    }
}

/// Compares two groups on the dialogues that both scored.
pub fn difference(baseline: &[Scored], candidate: &[Scored], seed: u64) -> QualityDifference {
    let both = shared(baseline, candidate);
    let of = |place: usize| {
        let differences = both.iter().map(|(before, after)| after[place] - before[place]);
        mean_interval(&differences.collect::<Vec<_>>(), seed)
    };
    QualityDifference { rouge1: of(0), rouge2: of(1), rouge_l: of(2), gen_len: counted(of(3)) }
}

/// The mean difference of rougeL with its interval at a level, and the baseline's mean on the same dialogues; both are
/// missing if no dialogue has two scores.
pub fn rouge_l_difference(
    baseline: &[Scored],
    candidate: &[Scored],
    seed: u64,
    alpha: f64,
) -> (Estimate, Option<f64>) {
    let both = shared(baseline, candidate);
    let differences: Vec<f64> = both.iter().map(|(before, after)| after[2] - before[2]).collect();
    let before: Vec<f64> = both.iter().map(|(before, _)| before[2]).collect();
    (mean_interval_at(&differences, seed, alpha), mean(&before))
}

fn shared(baseline: &[Scored], candidate: &[Scored]) -> Vec<(Scores, Scores)> {
    let (baseline, candidate) = (by_dialogue(baseline), by_dialogue(candidate));
    let find = |sample: u32| candidate.binary_search_by_key(&sample, |(sample, _)| *sample);
    (baseline.iter())
        .filter_map(|&(sample, before)| find(sample).ok().map(|at| (before, candidate[at].1)))
        .collect()
}

/// A mean of lengths, where every one of them was counted.
fn counted(lengths: Estimate) -> Estimate {
    match lengths.value {
        Some(value) if value.is_nan() => Estimate::missing(lengths.n, Limitation::UncountedTokens),
        _ => lengths,
    }
}

/// rouge1, rouge2, rougeL, tokens, reference tokens (both not a number where they were not counted).
type Scores = [f64; 5];

/// Mean scores of each dialogue, by number.
fn by_dialogue(scored: &[Scored]) -> Vec<(u32, Scores)> {
    let flat = |one: &Scored| {
        let Rouge { rouge1, rouge2, rouge_l } = one.rouge;
        let reference_tokens = one.reference_tokens.map_or(f64::NAN, f64::from);
        let tokens = one.tokens.map_or(f64::NAN, f64::from);
        [rouge1, rouge2, rouge_l, tokens, reference_tokens]
    };
    let mut all: Vec<(u32, Scores)> = scored.iter().map(|one| (one.sample, flat(one))).collect();
    // One order, one sum, whatever order the scores came in.
    let bits = |scores: &Scores| scores.map(f64::to_bits);
    all.sort_by_cached_key(|(sample, scores)| (*sample, bits(scores)));
    let mean_of = |same: &[(u32, Scores)]| {
        let means = std::array::from_fn(|place| {
            same.iter().map(|(_, scores)| scores[place]).sum::<f64>() / same.len() as f64
        });
        (same[0].0, means)
    };
    all.chunk_by(|a, b| a.0 == b.0).map(mean_of).collect()
}
