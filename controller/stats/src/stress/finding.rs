//! What a verdict finds, and what it would have found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the data shows about an effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Finding {
    Found,
    /// One that would matter is not there.
    NotFound,
    /// Undecided.
    Inconclusive {
        /// After how many more minutes like these they probably do; null where time alone doesn't help.
        more_minutes: Option<f64>,
    },
}

impl Finding {
    pub fn is_found(&self) -> bool {
        *self == Self::Found
    }
}

/// How much longer to measure until an error that shrinks with time to the power of `exponent` is small enough;
/// in minutes, at least one.
pub fn more_minutes(observed_s: f64, error: f64, wanted: f64, exponent: f64) -> Option<f64> {
    let times = (error / wanted).powf(1.0 / exponent);
    let minutes = (observed_s * (times - 1.0) / 60.0).ceil().max(1.0);
    minutes.is_finite().then_some(minutes)
}
