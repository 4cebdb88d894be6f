//! How good summaries are: ROUGE against references, lengths, agreement of two groups.
//!
//! Decoding is greedy, so repeats of a dialogue bring the same text: here dialogues are what varies, and
//! intervals come from resampling them. Random weights and missing references have no quality.

pub mod agreement;
pub mod bootstrap;
pub mod rouge;
pub mod stem;

pub use agreement::{Agreement, agreement};
pub use bootstrap::mean_interval;
pub use rouge::{Rouge, rouge};

use super::estimate::Estimate;
use super::interval::mean;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One scored summary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Which dialogue.
    pub sample: u32,
    /// Its scores.
    pub rouge: Rouge,
    /// Tokens of the summary.
    pub tokens: u32,
    /// Tokens of the reference.
    pub reference_tokens: u32,
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
    /// Mean tokens of a summary.
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
    /// Mean difference of rougeL.
    #[serde(rename = "rougeL")]
    pub rouge_l: Estimate,
    /// Mean difference of lengths, in tokens.
    pub gen_len: Estimate,
}

/// Summarises scored summaries; a dialogue that comes more than once counts once, with its mean.
pub fn quality(scored: &[Scored], seed: u64) -> Quality {
    let per_dialogue = by_dialogue(scored);
    let of = |value: fn(&Scores) -> f64| {
        mean_interval(
            &per_dialogue.iter().map(|(_, scores)| value(scores)).collect::<Vec<_>>(),
            seed,
        )
    };
    let references: Vec<f64> = per_dialogue.iter().map(|(_, scores)| scores[4]).collect();
    let (gen_len, reference_len) = (of(|scores| scores[3]), mean(&references));
    let ratio = gen_len.value.zip(reference_len.filter(|&len| len > 0.0));
    Quality {
        rouge1: of(|scores| scores[0]),
        rouge2: of(|scores| scores[1]),
        rouge_l: of(|scores| scores[2]),
        gen_len,
        reference_len,
        length_ratio: ratio.map(|(summary, reference)| summary / reference),
    }
}

/// Compares two groups on the dialogues that both scored.
pub fn difference(baseline: &[Scored], candidate: &[Scored], seed: u64) -> QualityDifference {
    let (baseline, candidate) = (by_dialogue(baseline), by_dialogue(candidate));
    let find = |sample: u32| candidate.binary_search_by_key(&sample, |(sample, _)| *sample);
    let both: Vec<(Scores, Scores)> = (baseline.iter())
        .filter_map(|&(sample, before)| find(sample).ok().map(|at| (before, candidate[at].1)))
        .collect();
    let of = |place: usize| {
        let differences = both.iter().map(|(before, after)| after[place] - before[place]);
        mean_interval(&differences.collect::<Vec<_>>(), seed)
    };
    QualityDifference { rouge1: of(0), rouge2: of(1), rouge_l: of(2), gen_len: of(3) }
}

/// rouge1, rouge2, rougeL, tokens, reference tokens.
type Scores = [f64; 5];

/// Mean scores of each dialogue, by number.
fn by_dialogue(scored: &[Scored]) -> Vec<(u32, Scores)> {
    let flat = |one: &Scored| {
        let Rouge { rouge1, rouge2, rouge_l } = one.rouge;
        [rouge1, rouge2, rouge_l, f64::from(one.tokens), f64::from(one.reference_tokens)]
    };
    let mut all: Vec<(u32, Scores)> = scored.iter().map(|one| (one.sample, flat(one))).collect();
    all.sort_by(|a, b| {
        a.0.cmp(&b.0).then(a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal))
    });
    let mean_of = |same: &[(u32, Scores)]| {
        let means = std::array::from_fn(|place| {
            same.iter().map(|(_, scores)| scores[place]).sum::<f64>() / same.len() as f64
        });
        (same[0].0, means)
    };
    all.chunk_by(|a, b| a.0 == b.0).map(mean_of).collect()
}
