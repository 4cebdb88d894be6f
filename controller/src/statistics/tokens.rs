//! Lengths in tokens, of prompts and of summaries.

use super::interval::{mean, standard_deviation};
use super::layout::Layout;
use super::observation::Observation;
use super::quantile::quantile;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long prompts or summaries are, in tokens. A property of the chosen dialogues: no interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lengths {
    /// The mean.
    pub mean: Option<f64>,
    /// The standard deviation, ddof 1.
    pub std: Option<f64>,
    /// The shortest.
    pub min: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
    /// The median.
    pub p50: Option<f64>,
    /// 19 in 20 are at most this long.
    pub p95: Option<f64>,
}

/// Describes a length of the requests that brought a summary and were counted.
pub fn lengths(layout: &Layout<'_>, length: impl Fn(&Observation) -> Option<u32>) -> Lengths {
    let ok = layout.cell.observations().iter().filter(|row| row.is_ok());
    let mut tokens: Vec<f64> = ok.filter_map(|row| length(row).map(f64::from)).collect();
    tokens.sort_unstable_by(f64::total_cmp);
    Lengths {
        mean: mean(&tokens),
        std: standard_deviation(&tokens),
        min: tokens.first().copied(),
        max: tokens.last().copied(),
        p50: quantile(&tokens, 0.5),
        p95: quantile(&tokens, 0.95),
    }
}
