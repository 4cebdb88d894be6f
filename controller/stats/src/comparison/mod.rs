//! Two groups that share samples, compared: ratios with intervals, and a verdict that survives the number
//! of comparisons made.
//!
//! In come pairs of cells; out come ratios of candidate over baseline. Whether the two may be compared
//! at all is asked before, in [`gate`].

pub mod contrast;
pub mod gate;
pub mod holm;
pub mod quantity;
pub mod regression;
pub mod separate;
pub mod verdict;

pub use contrast::{Contrast, Rounds, contrast, contrast_of_runs};
pub use quantity::Quantity;
pub use verdict::{Comparison, Finding, Scope, Verdict, judge};

use crate::Cell;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    pub baseline: &'a Cell,
    pub candidate: &'a Cell,
    pub rounds: Rounds,
    pub batches: Batches,
}

/// Whether two cells decoded equally many samples together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    Equal,
    /// They did not: only rates can be compared.
    Different,
}

/// The comparison of one pair, by quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairComparison {
    /// Requests per host-second.
    pub throughput: Comparison,
    /// `request_latency`, request by request.
    pub request_latency: Comparison,
    /// The same per output token: shorter summaries are faster, and no better.
    pub latency_per_output_token: Comparison,
    pub ttft: Comparison,
    /// The lengths of the summaries.
    pub output_tokens: Comparison,
}

/// Compares the pairs of one report. The family of Holm's correction is all pairs, for each quantity.
pub fn compare(pairs: &[Pair<'_>], margin: Option<f64>) -> Vec<PairComparison> {
    let family = |quantity: Quantity| {
        let contrasts: Vec<Contrast> =
            pairs.par_iter().map(|pair| contrast(pair, quantity)).collect();
        judge(quantity, &contrasts, margin).into_iter()
    };
    let mut throughput = family(Quantity::Throughput);
    let mut request_latency = family(Quantity::RequestLatency);
    let mut per_token = family(Quantity::LatencyPerOutputToken);
    let mut ttft = family(Quantity::Ttft);
    let mut output_tokens = family(Quantity::OutputTokens);
    let one = move |_| {
        Some(PairComparison {
            throughput: throughput.next()?,
            request_latency: request_latency.next()?,
            latency_per_output_token: per_token.next()?,
            ttft: ttft.next()?,
            output_tokens: output_tokens.next()?,
        })
    };
    pairs.iter().map_while(one).collect()
}
